"""A witness that reads the folder: who rewrites yesterday with all our keys is named by index."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from serve.governance.audit.log.folder import LogFolder
from serve.governance.audit.tlog.checkpoints import Checkpoint
from serve.governance.audit.tlog.keys import NoteSigner
from serve.governance.audit.witness.cosigning import Witness
from serve.governance.audit.witness.folder_witness import DivergedError, FolderWitness
from serve.governance.audit.witness.leaf_copy import CopyRefusedError
from serve.governance.audit.witness.state import HISTORY_EVERY_S, WitnessState
from tests.independent_tlog.notes import PublicKey
from tests.independent_tlog.tiles import Folder
from tests.serve.governance.audit.logs import reading, write
from tests.serve.governance.audit.witness.trees import LOG_KEY, ORIGIN, WITNESS_KEY, tree

NOW = 1_764_500_000


class Auditor:
    """The witness on the auditor's machine, a minute older at each visit."""

    def __init__(self, state: Path, *, copies: bool = True) -> None:
        self._state, self._copies, self._now = state, copies, NOW

    def cosign(self, log: LogFolder) -> int | None:
        with WitnessState(self._state) as state:
            signature = self._witness(state, log).cosign()
        self._now += HISTORY_EVERY_S
        return signature.signed_at

    def check(self, log: LogFolder) -> int | None:
        with WitnessState(self._state) as state:
            held = self._witness(state, log).check()
        return None if held is None else held.size

    def _witness(self, state: WitnessState, log: LogFolder) -> FolderWitness:
        witness = Witness(WITNESS_KEY, [LOG_KEY.verifier], state, clock=lambda: self._now)
        return FolderWitness(witness, log, self._copies)


async def rewritten(folder: Path, size: int, changed: int) -> LogFolder:
    """The log anew, with the real writer and the real key: what an attacker with root can do."""
    shutil.rmtree(folder)
    return await write(folder, tree(size, changed=changed).entries)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "log"


async def test_a_log_that_grows_is_cosigned_visit_after_visit(tmp_path, folder):
    auditor = Auditor(tmp_path / "state")
    entries = tree(600).entries
    log = await write(folder, entries[:3])
    assert auditor.check(log) is None
    assert auditor.cosign(log) == NOW
    for start, end in [(3, 300), (300, 300), (300, 600)]:
        log = await write(folder, entries[start:end])
        assert auditor.cosign(log)
        assert auditor.check(log) == end


@pytest.mark.parametrize(("size", "changed"), [(300, 0), (300, 299), (400, 257), (1000, 120)])
async def test_whoever_rewrites_yesterday_is_named_by_index(tmp_path, folder, size, changed):
    auditor = Auditor(tmp_path / "state")
    auditor.cosign(await write(folder, tree(300).entries))
    forged = await rewritten(folder, size, changed)
    # It verifies by itself, with other people's tools too: nothing in the folder betrays it.
    assert Folder(folder, PublicKey.parse(LOG_KEY.verifier.text)).verify().size == size
    for ask in (auditor.check, auditor.cosign):
        with pytest.raises(DivergedError, match=f"entry {changed} is not the entry that was"):
            ask(forged)


async def test_without_a_copy_the_trees_cosigned_before_tell_between_which(tmp_path, folder):
    auditor = Auditor(tmp_path / "state", copies=False)
    entries = tree(500).entries
    for start, end in [(0, 100), (100, 164), (164, 300), (300, 500)]:
        auditor.cosign(await write(folder, entries[start:end]))
    forged = await rewritten(folder, 500, 120)
    with pytest.raises(DivergedError, match="one of entries 100 to 163 is not what was cosigned"):
        auditor.cosign(forged)


async def test_entries_that_are_gone_are_missing(tmp_path, folder):
    auditor = Auditor(tmp_path / "state")
    auditor.cosign(await write(folder, tree(300).entries))
    shutil.rmtree(folder)
    shorter = await write(folder, tree(280).entries)
    for ask in (auditor.check, auditor.cosign):
        with pytest.raises(DivergedError, match="entry 280 is missing"):
            ask(shorter)


async def test_an_entry_changed_under_its_tiles_is_named(tmp_path, folder):
    auditor = Auditor(tmp_path / "state")
    log = await write(folder, tree(300).entries)
    auditor.cosign(log)
    bundle = folder / "tile/entries/000"
    bundle.write_bytes(bundle.read_bytes().replace(b"entry 42", b"entry 24"))
    with pytest.raises(DivergedError, match="entry 42 is not the entry"):
        auditor.check(log)


async def test_tiles_that_are_not_of_the_signed_tree_are_not_cosigned(tmp_path, folder):
    log = await write(folder, tree(20).entries)
    tile = folder / "tile/0/000.p/20"
    tile.write_bytes(b"\0" + tile.read_bytes()[1:])
    with pytest.raises(CopyRefusedError):
        Auditor(tmp_path / "state").cosign(log)


async def test_a_checkpoint_that_lies_about_its_entries_is_refused(tmp_path, folder):
    auditor = Auditor(tmp_path / "state")
    auditor.cosign(await write(folder, tree(20).entries))
    lie = Checkpoint(ORIGIN, 20, b"x" * 32).signed(LOG_KEY)
    (folder / "checkpoint").write_text(lie)
    with pytest.raises(DivergedError, match="audit verify"):
        auditor.cosign(reading(folder))


async def test_another_logs_folder_is_not_opened(folder):
    await write(folder, tree(3).entries)
    stranger = NoteSigner(ORIGIN, b"?" * 32)
    with pytest.raises(Exception, match="not signed by"):
        reading(folder, signer=stranger)
