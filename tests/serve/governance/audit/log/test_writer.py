"""The log's writer: one of them, durable, published soon, and never opened over a loss."""

from __future__ import annotations

import asyncio
import os

import pytest

from serve.governance.audit.log import publishing_thread
from serve.governance.audit.log.errors import LogDamaged, LogInUse, LogUnavailable
from serve.governance.audit.log.writer import AuditLog
from serve.governance.audit.tlog import checkpoints
from serve.governance.audit.tlog.keys import NoteSigner
from tests.serve.governance.audit.log.logs import (
    KEYS,
    SIGNER,
    entry,
    fill,
    open_log,
    opened,
    read,
    some,
    verified,
)
from tests.serve.governance.audit.tlog import naive


def checkpoint(folder):
    return checkpoints.opened((folder / "checkpoint").read_bytes(), KEYS)[0]


async def test_a_log_is_there_again_with_its_root(tmp_path):
    folder = tmp_path / "audit" / "log"
    entries = some(600)
    for start, end in ((0, 1), (1, 255), (255, 257), (257, 257), (257, 512), (512, 600)):
        await fill(folder, entries[start:end], at_once=50)
        found = checkpoint(folder)
        assert (found.origin, found.size) == (SIGNER.name, end)
        assert found.root == naive.tree_hash(entries[:end])
        assert read(folder) == entries[:end]
        assert verified(folder).is_ok
    names = {
        path.relative_to(folder).as_posix() for path in folder.glob("tile/*/*") if path.is_file()
    }
    assert names == {
        *("tile/0/000", "tile/0/001", "tile/entries/000", "tile/entries/001"),
    }
    assert (folder / "tile/1/000.p/2").stat().st_size == 64
    assert (folder / "tile/entries/002.p/88").exists()


async def test_entries_are_published_while_it_runs(tmp_path):
    async with opened(tmp_path, publish_every_s=0.001) as log:
        assert await log.append(some(3)) == 0
        while log.published_size < 3:
            await asyncio.sleep(0.002)
        assert read(tmp_path) == some(3)
    async with opened(tmp_path, publish_at=2) as log:
        assert await log.append(some(2, 3)) == 3
        while log.published_size < 5:
            await asyncio.sleep(0.002)
        assert checkpoint(tmp_path).size == 5


async def test_the_journal_keeps_what_is_in_no_full_bundle(tmp_path):
    async with opened(tmp_path, segment_bytes=2000) as log:
        for at in range(0, 600, 20):
            await log.append(some(20, at))
    starts = sorted(int(path.stem) for path in (tmp_path / "journal").iterdir())
    assert 400 < starts[0] <= 512
    assert starts[1] > 512
    assert verified(tmp_path).is_ok


async def test_what_was_not_published_is_so_after_the_next_start(tmp_path):
    log = open_log(tmp_path)
    await log.append(some(300))
    await log._journal.close()
    assert checkpoint(tmp_path).size == 0
    assert verified(tmp_path).num_behind == 300
    await asyncio.to_thread(log._publishing._thread.join, 0)
    # As a process that was killed leaves it: nothing more of this one.
    os.close(log._lock)
    async with opened(tmp_path) as again:
        assert again.size == 300
        assert not again.recovery.text
    assert read(tmp_path) == some(300)


async def test_a_second_writer_is_refused_by_name(tmp_path):
    async with opened(tmp_path):
        with pytest.raises(LogInUse, match=r"is written by another process \(pid \d+\)"):
            open_log(tmp_path)
    await fill(tmp_path, some(1))


async def test_a_closed_log_takes_nothing(tmp_path):
    log = open_log(tmp_path)
    await log.close()
    await log.close()
    with pytest.raises(LogUnavailable, match="the log is closed"):
        await log.append([b"x"])


async def test_entries_have_a_bound(tmp_path):
    async with opened(tmp_path) as log:
        with pytest.raises(ValueError, match="65,536 bytes; at most 65,535"):
            await log.append([b"x" * 65_536])
        assert await log.append([b"x" * 65_535, b""]) == 0
    assert read(tmp_path) == [b"x" * 65_535, b""]


def test_a_key_of_another_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match="name them alike"):
        AuditLog.open(tmp_path, origin="example.com/other", signer=SIGNER)


async def test_a_new_key_goes_on_where_the_old_one_is_known(tmp_path):
    await fill(tmp_path, some(3))
    new = NoteSigner.generate(SIGNER.name)
    with pytest.raises(LogDamaged, match="cannot be trusted: it is not signed by"):
        AuditLog.open(tmp_path, origin=new.name, signer=new)
    log = AuditLog.open(tmp_path, origin=new.name, signer=new, old_keys=KEYS)
    await log.append(some(1, 3))
    await log.close()
    found, _ = checkpoints.opened((tmp_path / "checkpoint").read_bytes(), [new.verifier])
    assert found.root == naive.tree_hash(some(4))


def cut_journal(folder):
    (path,) = (folder / "journal").iterdir()
    path.write_bytes(path.read_bytes()[:-1])


def empty_journal(folder):
    for path in (folder / "journal").iterdir():
        path.unlink()


def other_entry(folder):
    """The journal of another log of the same length."""
    (path,) = (folder / "journal").iterdir()
    path.write_bytes(path.read_bytes())
    twin = folder.with_name("twin")
    asyncio.run(fill(twin, [*some(299), b"other"]))
    path.write_bytes((twin / "journal" / path.name).read_bytes())


def drop(name):
    return lambda folder: (folder / name).unlink()


def flip(name, at):
    def change(folder):
        data = bytearray((folder / name).read_bytes())
        data[at] ^= 1
        (folder / name).write_bytes(data)

    return change


@pytest.mark.parametrize(
    ("damage", "reason", "index"),
    [
        (cut_journal, "the journal ends before entry 299: acknowledged entries are missing", 299),
        (empty_journal, "is gone, which had entry 256", 256),
        (other_entry, "entry 299 in the journal is not the one in the tree", 299),
        (drop("checkpoint"), "is a log, but its checkpoint is missing", 0),
        (flip("checkpoint", 30), "cannot be trusted", None),
        (flip("tile/0/001.p/44", 5), "do not have the root that", None),
        (flip("tile/1/000.p/1", 5), "do not have the root that", None),
        (drop("tile/1/000.p/1"), r"the tile tile/1/000\.p/1 is missing", 0),
        (drop("tile/0/001.p/44"), r"the tile tile/0/001\.p/44 is missing", 256),
    ],
)
def test_a_log_that_lost_something_is_not_opened(tmp_path, damage, reason, index):
    folder = tmp_path / "log"
    asyncio.run(fill(folder, some(300)))
    damage(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for _ in range(2):
        with pytest.raises(LogDamaged, match=reason) as found:
            open_log(folder)
        assert found.value.index == index
    del before[folder / "lock"]
    assert {path: path.read_bytes() for path in before} == before


async def test_tiles_that_cannot_be_written_hold_up_entries_only_when_many_wait(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(publishing_thread, "MAX_WAITING", 5)
    monkeypatch.setattr(publishing_thread, "FIRST_PAUSE_S", 0.001)
    async with opened(tmp_path, publish_at=1) as log:
        (tmp_path / "tile").write_text("in the way")
        await log.append(some(4))
        while not log.failure:
            await asyncio.sleep(0.001)
        assert "tiles cannot be written" in log.failure
        await log.append(some(1, 4))
        with pytest.raises(LogUnavailable, match="tiles cannot be written"):
            await log.append([b"x"])
        (tmp_path / "tile").unlink()
        while log.failure:
            await asyncio.sleep(0.001)
        assert await log.append([entry(5)]) == 5
    assert read(tmp_path) == some(6)
    assert verified(tmp_path).is_ok
