"""A log in memory that fails when it is told to, and a service that writes to it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from serve.governance.audit.records.canonical import decoded
from serve.governance.audit.records.entry_log import EntryLog, LogAwayError
from serve.governance.audit.records.forms import Stamps
from serve.governance.audit.records.gap import Gap
from serve.governance.audit.records.keeper import LogKeeper
from serve.governance.audit.records.recorded_audit import RecordedAudit


@dataclass
class MemoryLog:
    """A log whose entries outlive it, as a disk's do (an EntryLog).

    Attributes:
        fails: appends fail, and nothing is kept of them.
        keeps_what_fails: appends fail, and are kept nevertheless.
        stalls: appends wait until it is set.
        num_opened: times.
    """

    entries: list[bytes] = field(default_factory=list)
    recovered: str = ""
    fails: bool = False
    keeps_what_fails: bool = False
    stalls: asyncio.Event | None = None
    num_opened: int = 0
    num_appends: int = 0

    @property
    def size(self) -> int:
        return len(self.entries)

    async def append(self, entries: Sequence[bytes]) -> int:
        await asyncio.sleep(0)
        self.num_appends += 1
        if self.stalls is not None:
            await self.stalls.wait()
        if self.fails and not self.keeps_what_fails:
            raise LogAwayError("the disk is full")
        first = len(self.entries)
        self.entries += entries
        if self.fails:
            raise LogAwayError("the disk failed at its sync")
        return first

    def first_index(self) -> int:
        return 0

    def read(self, start: int, end: int) -> list[bytes]:
        return self.entries[start:end]

    async def close(self) -> None:
        pass

    async def open(self) -> EntryLog:
        if self.fails:
            raise LogAwayError("the disk is full")
        self.num_opened += 1
        return self

    @property
    def records(self) -> list[dict[str, Any]]:
        return [decoded(entry) for entry in self.entries]

    def of_type(self, *kinds: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["type"] in kinds]

    @property
    def types(self) -> list[str]:
        return [record["type"] for record in self.records]


async def audit_of(log: MemoryLog, *, deadline_s: float = 2.0, **options: Any) -> RecordedAudit:
    """An audit that writes to this log, and has opened it."""
    stamps = Stamps()
    audit = RecordedAudit(stamps, Gap(stamps), **options)
    audit.keeper = LogKeeper(log.open, audit.on_open, deadline_s=deadline_s)
    await audit.keeper.open()
    return audit


def ends_of(log: MemoryLog) -> dict[str, int]:
    """How often each call that began has ended."""
    counts = {record["id"]: 0 for record in log.of_type("begin")}
    for record in log.of_type("end"):
        assert log.records[record["begin"]]["id"] == record["id"]
        counts[record["id"]] += 1
    return counts
