"""A journal: durable on return, cut where it is torn, and never written to after an error."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from types import SimpleNamespace

import pytest

from serve.governance.audit.log import frames, journal, segments
from serve.governance.audit.log.errors import LogDamaged, LogUnavailable
from serve.governance.audit.log.journal import Journal
from tests.serve.governance.audit.log.logs import entry, some


def folder_of(tmp_path):
    return tmp_path / "journal"


async def filled(tmp_path, num: int, **settings) -> None:
    found = Journal.open(folder_of(tmp_path), **settings)
    for number in range(num):
        await found.append([entry(number)])
    await found.close()


def kept(tmp_path) -> list[bytes]:
    return [payload for _, payload in Journal.open(folder_of(tmp_path)).entries()]


def last_file(tmp_path):
    return segments.segments(folder_of(tmp_path))[-1][1]


async def test_what_was_appended_is_there_again(tmp_path):
    found = Journal.open(folder_of(tmp_path))
    assert await asyncio.gather(*(found.append(some(2, at)) for at in (0, 2, 4))) == [0, 2, 4]
    assert found.size == 6
    await found.close()
    again = Journal.open(folder_of(tmp_path))
    assert list(again.entries(4)) == [(4, entry(4)), (5, entry(5))]
    assert again.recovery.num_entries == 6
    assert not again.recovery.text
    assert await again.append([entry(6)]) == 6
    await again.close()
    assert kept(tmp_path) == some(7)


async def test_a_cut_at_every_byte_recovers_the_longest_valid_prefix(tmp_path, is_proving):
    """A log of 200 entries, as one process wrote them, each in a group of its own."""
    found = Journal.open(folder_of(tmp_path))
    for number in range(200):
        found._commit([entry(number)])
    await found.close()
    path = last_file(tmp_path)
    data = path.read_bytes()
    whole = frames.scan(data)
    assert whole is not None
    assert len(whole.payloads) == 200
    starts = [frames.HEADER_BYTES, *whole.ends]
    for end in range(len(data)) if is_proving else (0, 31, 32, 33, 5000, 7321):
        path.write_bytes(data[:end])
        again = Journal.open(folder_of(tmp_path))
        num = sum(one <= end for one in whole.ends)
        torn = data[0 if end < starts[0] else starts[num] : end]
        assert again.size == again.recovery.num_entries == num
        assert again.recovery.torn_bytes == len(torn)
        if torn:
            assert again.recovery.quarantine is not None
            assert again.recovery.quarantine.read_bytes() == torn
            assert str(again.recovery.quarantine) in again.recovery.text
        assert [payload for _, payload in again.entries()] == whole.payloads[:num]
        again._let_go()


async def test_a_damaged_middle_is_not_cut(tmp_path):
    await filled(tmp_path, 5)
    path = last_file(tmp_path)
    data = bytearray(path.read_bytes())
    data[data.index(entry(2))] ^= 1
    path.write_bytes(data)
    with pytest.raises(LogDamaged, match=r"entry 2 in the journal .* is damaged") as found:
        Journal.open(folder_of(tmp_path))
    assert found.value.index == 2
    assert path.read_bytes() == data
    assert not (tmp_path / "quarantine").exists()


async def test_a_new_file_is_begun_and_old_ones_are_dropped(tmp_path):
    await filled(tmp_path, 20, segment_bytes=200)
    names = [first for first, _ in segments.segments(folder_of(tmp_path))]
    assert len(names) > 3
    found = Journal.open(folder_of(tmp_path), segment_bytes=200)
    assert [payload for _, payload in found.entries()] == some(20)
    assert found.drop_before(names[2] + 1) == 2
    assert next(found.entries()) == (names[2], entry(names[2]))
    assert found.drop_before(10**6) == len(names) - 3  # never the last
    assert await found.append([entry(20)]) == 20
    await found.close()


async def test_what_cannot_be_appended(tmp_path):
    found = Journal.open(folder_of(tmp_path), max_payload_bytes=5)
    for payloads, reason in (([b"123456"], "6 bytes; at most 5"), ([], "nothing was given")):
        with pytest.raises(ValueError, match=reason):
            await found.append(payloads)
    await found.close()
    with pytest.raises(LogUnavailable, match="the log is closed"):
        await found.append([b"1"])
    with pytest.raises(ValueError, match="segments of 0 bytes"):
        Journal.open(folder_of(tmp_path), segment_bytes=0)


class Faults:
    """Calls of the system that fail, or write little, from the n-th on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.short, self.error_of = 0, {}
        self.fails_after: dict[str, int] = {}
        self.used: dict[str, list[int]] = {"write": [], "fdatasync": []}
        self._real = {name: getattr(os, name) for name in self.used}
        monkeypatch.setattr(os, "write", self._write)
        monkeypatch.setattr(os, "fdatasync", self._fdatasync)

    def _write(self, descriptor, data):
        self._call("write", descriptor)
        return self._real["write"](descriptor, data[: self.short] if self.short else data)

    def _fdatasync(self, descriptor):
        self._call("fdatasync", descriptor)
        self._real["fdatasync"](descriptor)

    def _call(self, name, descriptor):
        self.used[name].append(descriptor)
        if (calls_left := self.fails_after.pop(name, None)) is not None:
            if not calls_left:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.fails_after[name] = calls_left - 1
        if (number := self.error_of.pop(name, None)) is not None:
            raise OSError(number, os.strerror(number))


@pytest.mark.parametrize("call", ["write", "fdatasync"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
async def test_after_an_error_the_descriptor_is_not_used_again(tmp_path, monkeypatch, call, number):
    monkeypatch.setattr(journal, "FIRST_PAUSE_S", 0.0)
    faults = Faults(monkeypatch)
    found = Journal.open(folder_of(tmp_path))
    assert await found.append([entry(0)]) == 0
    descriptor = found._descriptor
    faults.error_of = {call: number}
    with pytest.raises(LogUnavailable, match=os.strerror(number)):
        await asyncio.gather(found.append([b"lost"]), found.append([b"lost too"]))
    assert found.size == 1
    assert os.strerror(number) in found.failure
    assert found._descriptor == -1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    assert await found.append([entry(1)]) == 1
    assert not found.failure
    await found.close()
    assert kept(tmp_path) == some(2)
    # What the refused group had left behind was cut, and kept.
    assert (found.recovery.torn_bytes > 0) == (call == "fdatasync")


@pytest.mark.parametrize("takes_folder", [False, True])
async def test_a_file_that_was_removed_takes_nothing_more(tmp_path, monkeypatch, takes_folder):
    """A write to it succeeds, and is gone with the process."""
    monkeypatch.setattr(journal, "FIRST_PAUSE_S", 0.0)
    found = Journal.open(folder_of(tmp_path))
    await found.append([entry(0)])
    if takes_folder:
        shutil.rmtree(folder_of(tmp_path))
    else:
        last_file(tmp_path).unlink()
    for _ in range(3):
        with pytest.raises(LogUnavailable):
            await found.append([entry(1)])
    assert found.size == 1
    await found.close()


async def test_it_is_not_tried_again_at_once(tmp_path, monkeypatch):
    now_s = 0.0
    monkeypatch.setattr(journal, "time", SimpleNamespace(monotonic=lambda: now_s))
    faults = Faults(monkeypatch)
    found = Journal.open(folder_of(tmp_path))
    pauses = []
    for _ in range(8):
        faults.error_of = {"write": errno.ENOSPC}
        with pytest.raises(LogUnavailable):
            await found.append([b"x"])
        num_calls = len(faults.used["write"])
        with pytest.raises(LogUnavailable):
            await found.append([b"x"])
        assert len(faults.used["write"]) == num_calls
        pauses.append(found._retry_at - now_s)
        now_s = found._retry_at
    assert pauses[0] == journal.FIRST_PAUSE_S
    assert max(pauses) <= journal.MAX_PAUSE_S
    assert await found.append([entry(0)]) == 0
    await found.close()
    assert kept(tmp_path) == some(1)


async def test_a_journal_that_lost_what_it_acknowledged_stays_closed(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "FIRST_PAUSE_S", 0.0)
    faults = Faults(monkeypatch)
    found = Journal.open(folder_of(tmp_path))
    await found.append(some(3))
    faults.error_of = {"fdatasync": errno.EIO}
    with pytest.raises(LogUnavailable):
        await found.append([b"x"])
    path = last_file(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(entry(1))])
    for _ in range(2):
        with pytest.raises(LogUnavailable, match="lost what it had acknowledged"):
            await found.append([b"x"])
    assert path.read_bytes() == data[: data.index(entry(1))]
    await found.close()


async def test_short_writes_are_continued(tmp_path, monkeypatch):
    faults = Faults(monkeypatch)
    faults.short = 3
    await filled(tmp_path, 4)
    assert len(faults.used["write"]) > 40
    monkeypatch.undo()
    assert kept(tmp_path) == some(4)


@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_each_of_the_first_200_writes_may_be_short_and_fail(
    tmp_path, monkeypatch, is_proving, call
):
    """All that was acknowledged is there, and nothing that was refused."""
    monkeypatch.setattr(journal, "FIRST_PAUSE_S", 0.0)
    faults = Faults(monkeypatch)
    for number in range(1, 201) if is_proving else (1, 2, 50, 200):
        folder = tmp_path / str(number)
        found = Journal.open(folder, segment_bytes=2000)
        acknowledged = []
        for at in range(205):
            is_turn = at + 1 == number
            faults.short = 20 if is_turn else 0
            faults.fails_after = {call: 1 if call == "write" else 0} if is_turn else {}
            try:
                assert found._commit([entry(at)]) == len(acknowledged)
            except LogUnavailable:
                assert is_turn
            else:
                acknowledged.append(entry(at))
        found._let_go()
        assert len(acknowledged) == 204
        again = Journal.open(folder)
        assert [payload for _, payload in again.entries()] == acknowledged
        assert found.recovery.quarantine is not None
        again._let_go()


async def test_groups_are_told_in_order_before_who_waits(tmp_path):
    seen = []
    found = Journal.open(folder_of(tmp_path), on_durable=lambda *group: seen.append(group))
    await found.append(some(2))
    await found.append(some(1, 2))
    assert seen == [(0, some(2)), (2, some(1, 2))]
    await found.close()


async def test_a_full_disk_has_its_last_file_written_over(tmp_path, monkeypatch):
    await filled(tmp_path, 3)
    path = last_file(tmp_path)
    inode = path.stat().st_ino

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(segments, "rewrite", full)
        found = Journal.open(folder_of(tmp_path))
    assert await found.append([entry(3)]) == 3
    await found.close()
    assert path.stat().st_ino == inode
    assert kept(tmp_path) == some(4)
