"""A call's trail: which events it wants, and what its end says of the answer."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from serve.errors import AuditUnavailable
from serve.governance.audit.content.sealing import header_of, opened
from serve.governance.audit.content.store import ContentStore, Note
from serve.governance.audit.records.canonical import encoded
from serve.governance.audit.records.chunks import Chunks
from serve.governance.audit.records.forms import Stamps
from serve.governance.audit.records.trails import LOST, CallTrail
from serve.observe.record import RequestRecord
from serve.pipeline.events import Finished, Queued, Started, TextDelta
from serve.timeline import Timeline
from tests.serve.governance.audit.content.secrets_of import subject_keys
from tests.serve.governance.audit.content.test_store import MemoryJournal
from tests.serve.governance.audit.records.logs import MemoryLog, audit_of

RECORD = RequestRecord(request_id="req-1", method="POST", timeline=Timeline(arrived_at=0.0))


class Ends:
    """Takes the end of a call."""

    def __init__(self) -> None:
        self.told: list[tuple[int | None, Note | None]] = []

    async def __call__(self, record: RequestRecord, chunks: int | None, note: Note | None) -> None:
        self.told.append((chunks, note))


async def test_a_trail_that_only_begins_and_ends_wants_no_events() -> None:
    ends = Ends()
    trail = CallTrail("req-1", ends)
    assert not trail.wants_events
    await trail.tell(TextDelta(index=0, text="x"))
    await trail.end(RECORD)
    assert ends.told == [(None, None)]


async def test_pieces_are_counted_and_what_is_no_piece_is_not(tmp_path: Path) -> None:
    log, ends = MemoryLog(), Ends()
    chunks = Chunks((await audit_of(log)).keeper, Stamps(), None)
    trail = CallTrail("req-1", ends, chunks=chunks)
    assert trail.wants_events
    for event in (
        Queued(position=1, expected_wait_s=None),
        Started(prompt_tokens=1),
        TextDelta(index=0, text="ab"),
        Finished(index=0, reason="stop"),
    ):
        await trail.tell(event)
    await trail.end(RECORD)
    assert [each["of"] for each in log.of_type("chunks")] == [[["req-1", 1, 2]], [["req-1", 2, 0]]]
    assert ends.told == [(2, None)]


async def test_an_answer_is_kept_whole_behind_its_pieces(tmp_path: Path) -> None:
    log, journal, ends = MemoryLog(), MemoryJournal(), Ends()
    keys = subject_keys(tmp_path)
    key = keys.of("a/a")
    contents = ContentStore(keys, journal, log_name="a")
    chunks = Chunks((await audit_of(log)).keeper, Stamps(), contents)
    trail = CallTrail("req-1", ends, chunks=chunks, contents=contents, key=key)
    for text in ("Hel", "lo"):
        await trail.tell(TextDelta(index=0, text=text))
    await trail.end(RECORD)
    (_, note) = ends.told[0]
    assert note is not None
    answer = journal.frames[note["at"]]
    assert header_of(answer)["number"] == 3
    assert json.loads(opened(key, answer))["choices"][0]["content"] == "Hello"
    assert len({header_of(frame)["number"] for frame in journal.frames}) == 3, "no nonce twice"


@pytest.mark.parametrize("passes", [False, True])
async def test_an_answer_that_cannot_be_kept_is_told_as_lost(tmp_path: Path, passes: bool) -> None:
    journal, ends = MemoryJournal(), Ends()
    keys = subject_keys(tmp_path)
    contents = ContentStore(keys, journal, log_name="a")
    trail = CallTrail("req-1", ends, contents=contents, key=keys.of("a/a"), passes=passes)
    journal.fails = True
    if passes:
        await trail.end(RECORD)
    else:
        with pytest.raises(AuditUnavailable):
            await trail.end(RECORD)
    assert ends.told == [(None, LOST)]


async def test_who_leaves_while_a_piece_waits_has_an_end_behind_it() -> None:
    log = MemoryLog()
    keeper = (await audit_of(log)).keeper

    async def write_end(_: RequestRecord, chunks: int | None, __: Note | None) -> None:
        await keeper.append([encoded({"type": "end", "chunks": chunks})])

    due = asyncio.Event()

    async def sleep(_: float) -> None:
        await due.wait()

    chunks = Chunks(keeper, Stamps(), None, clock=lambda: 5.0, sleep=sleep)
    trail = CallTrail("req-1", write_end, chunks=chunks)
    await trail.tell(TextDelta(index=0, text="x"))
    telling = asyncio.create_task(trail.tell(TextDelta(index=0, text="y")))
    await asyncio.sleep(0)
    telling.cancel()
    ending = asyncio.create_task(trail.end(RECORD))
    for _ in range(20):
        await asyncio.sleep(0)
    due.set()
    await ending
    assert log.types == ["chunks", "chunks", "end"], "a piece behind its end is nobody's"
    assert log.records[-1]["chunks"] == 2
