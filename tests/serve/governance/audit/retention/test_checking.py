"""Entries are held against what was signed before they are pruned."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.governance.audit.log.errors import LogDamaged
from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.retention.checking import check
from serve.governance.audit.tlog.checkpoints import Checkpoint
from tests.serve.governance.audit.logs import write
from tests.serve.governance.audit.witness.trees import ORIGIN


@pytest.fixture
async def log(tmp_path: Path) -> LogFolder:
    return await write(tmp_path / "log", [b"entry %d" % number for number in range(600)])


async def test_what_was_signed_passes(log: LogFolder) -> None:
    check(log, 0, 512)
    check(log, 512, 512)


async def test_the_first_entry_that_was_changed_is_named(log: LogFolder) -> None:
    path = log.path / "tile/entries/001"
    path.write_bytes(path.read_bytes().replace(b"entry 300", b"entry 3OO"))
    check(log, 0, 256)
    with pytest.raises(LogDamaged, match="entry 300 is another than was signed") as found:
        check(log, 0, 512)
    assert found.value.index == 300


async def test_tiles_that_lead_to_another_root_are_no_witness(log: LogFolder) -> None:
    log.checkpoint = Checkpoint(ORIGIN, log.size, bytes(32))
    with pytest.raises(LogDamaged, match="do not lead to what its checkpoint signs"):
        check(log, 0, 256)
