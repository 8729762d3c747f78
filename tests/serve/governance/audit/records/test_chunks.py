"""Pieces of answers: together in an entry, in notes where they are kept, and refused together."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from serve.errors import AuditUnavailable
from serve.governance.audit.content.sealing import digest, header_of, opened
from serve.governance.audit.content.store import ContentStore
from serve.governance.audit.records.chunks import MOST_PIECES, PAUSE_S, Chunks
from serve.governance.audit.records.forms import Stamps
from tests.serve.governance.audit.content.secrets_of import subject_keys
from tests.serve.governance.audit.content.test_store import MemoryJournal
from tests.serve.governance.audit.records.logs import MemoryLog, audit_of


async def test_pieces_that_are_ready_at_once_are_few_entries() -> None:
    log = MemoryLog()
    chunks = Chunks((await audit_of(log)).keeper, Stamps(), None)
    await asyncio.gather(*(chunks.add([f"req-{n}", 1, 7], None, b"") for n in range(600)))
    assert [len(each["of"]) for each in log.of_type("chunks")] == [MOST_PIECES, MOST_PIECES, 100]
    assert log.num_appends == 1
    assert log.records[0]["of"][0] == ["req-0", 1, 7]


async def test_pieces_that_are_kept_are_durable_before_their_entry(tmp_path: Path) -> None:
    log, journal = MemoryLog(), MemoryJournal()
    keys = subject_keys(tmp_path)
    key = keys.of("a/a")
    contents = ContentStore(keys, journal, log_name="a")
    chunks = Chunks((await audit_of(log)).keeper, Stamps(), contents)
    await asyncio.gather(
        chunks.add(["req-1", 3, 5], key, b"hello"),
        chunks.add(["req-2", 1, 0], key, b""),
        chunks.add(["req-3", 9, 5], key, b"world"),
    )
    first, empty, last = log.records[0]["of"]
    assert empty == ["req-2", 1, 0], "it has no text"
    for item, text in ((first, b"hello"), (last, b"world")):
        frame = journal.frames[item[3]["at"]]
        assert (digest(frame), opened(key, frame)) == (item[3]["sha256"], text)
        assert (header_of(frame)["id"], header_of(frame)["number"]) == (item[0], item[1])
    journal.fails = True
    with pytest.raises(AuditUnavailable):
        await chunks.add(["req-1", 4, 5], key, b"hello")
    assert len(log.entries) == 1


async def test_a_failure_is_everybodys_and_who_left_is_passed_over() -> None:
    log = MemoryLog()
    chunks = Chunks((await audit_of(log)).keeper, Stamps(), None)
    log.fails = True
    futures = [chunks.add(["req-1", n, 1], None, b"") for n in range(3)]
    futures[1].cancel()
    found = await asyncio.gather(*futures, return_exceptions=True)
    assert isinstance(found[0], AuditUnavailable)
    assert isinstance(found[1], asyncio.CancelledError)
    assert isinstance(found[2], AuditUnavailable)


async def test_a_defect_leaves_nobody_waiting(tmp_path: Path) -> None:
    log = MemoryLog()
    contents = ContentStore(subject_keys(tmp_path), MemoryJournal(), log_name="a", failures=())
    key = await contents.key_of("a/a")
    chunks = Chunks((await audit_of(log)).keeper, Stamps(), contents)
    with pytest.raises(RuntimeError, match="a defect"):
        await asyncio.wait_for(chunks.add(["req-1", "no number", 1], key, b"x"), 5)
    await chunks.add(["req-1", 1, 1], key, b"x")


async def test_what_comes_soon_after_a_write_is_written_together() -> None:
    log, due, slept = MemoryLog(), asyncio.Event(), list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await due.wait()

    now = 5.0
    keeper = (await audit_of(log)).keeper
    chunks = Chunks(keeper, Stamps(), None, clock=lambda: now, sleep=sleep)
    await chunks.add(["req-1", 1, 7], None, b"")
    assert (log.num_appends, slept) == (1, []), "the first one waits for nothing"
    futures = []
    for number in range(2, 5):
        futures.append(chunks.add(["req-1", number, 7], None, b""))
        for _ in range(20):
            await asyncio.sleep(0)
    assert log.num_appends == 1
    assert slept == [pytest.approx(PAUSE_S)]
    due.set()
    await asyncio.gather(*futures)
    assert log.num_appends == 2
    now += PAUSE_S
    await chunks.add(["req-1", 5, 7], None, b"")
    assert (log.num_appends, len(slept)) == (3, 1), "the pause is over"
