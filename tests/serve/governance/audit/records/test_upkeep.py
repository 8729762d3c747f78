"""Upkeep: heartbeats by time and by number, room on the disk, changed files, and the way back."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from serve.errors import AuditUnavailable
from serve.governance.audit.records.forms import Stamps
from serve.governance.audit.records.recorded_audit import RecordedAudit
from serve.governance.audit.records.refusals import Refusals
from serve.governance.audit.records.upkeep import HEARTBEAT_ENTRIES, AuditUpkeep
from serve.governance.audit.records.watched_files import WatchedFiles
from serve.observe.record import RequestRecord
from serve.timeline import Timeline
from tests.serve.governance.audit.records.logs import MemoryLog, audit_of


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def upkeep_of(
    log: MemoryLog, folder: Path, **files: Path
) -> tuple[AuditUpkeep, RecordedAudit, Clock]:
    audit, clock = await audit_of(log), Clock()
    watched = WatchedFiles(files)
    watched.digests()
    upkeep = AuditUpkeep(
        audit.keeper,
        audit.open,
        Refusals(audit.keeper, Stamps()),
        watched,
        Stamps(),
        folder=folder,
        min_free_bytes=1000,
        clock=clock,
    )
    return upkeep, audit, clock


async def test_silence_would_be_seen(tmp_path: Path) -> None:
    log = MemoryLog()
    upkeep, audit, clock = await upkeep_of(log, tmp_path)
    await upkeep.once()
    assert log.types == []
    clock.now = 60
    audit.open.add("a", 0)
    await upkeep.once()
    await upkeep.once()
    assert [(beat["open"], beat["open_from"]) for beat in log.records] == [(1, 0)]
    audit.keeper.num_written += HEARTBEAT_ENTRIES
    await upkeep.once()
    assert log.types == ["heartbeat"] * 2


async def test_a_changed_file_is_recorded_though_the_log_was_away(tmp_path: Path) -> None:
    log, keys = MemoryLog(), tmp_path / "keys.json"
    upkeep, _, _ = await upkeep_of(log, tmp_path, api_key_file=keys)
    keys.write_text("a")
    log.fails = True
    await upkeep.once()
    await upkeep.once()
    log.fails = False
    await upkeep.once()
    assert log.types == ["recovered", "config"]
    assert log.records[1]["files"].keys() == {"api_key_file"}


async def test_a_disk_that_is_nearly_full_stops_admission_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = MemoryLog()
    upkeep, audit, _ = await upkeep_of(log, tmp_path)
    free = [999]

    def usage(_folder: Path) -> Any:
        return shutil._ntuple_diskusage(10_000, 0, free[0])  # type: ignore[attr-defined]

    monkeypatch.setattr(shutil, "disk_usage", usage)
    await upkeep.once()
    with pytest.raises(AuditUnavailable, match="room"):
        audit.check()
    free[0] = 1000
    await upkeep.once()
    audit.check()


async def test_refusals_that_waited_are_written(tmp_path: Path) -> None:
    log = MemoryLog()
    upkeep, _, _ = await upkeep_of(log, tmp_path)
    record = RequestRecord(
        request_id="r", method="GET", key_id="k", status=404, timeline=Timeline(arrived_at=0.0)
    )
    upkeep._refusals._refused.add(Stamps().stamped("refused", id=record.request_id))
    await upkeep.once()
    assert log.types == ["refused"]
