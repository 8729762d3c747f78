"""Calls in the log: begun before they run, ended once, whatever fails in between."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from serve.api.openai.chat import ChatCompletions
from serve.errors import AuditUnavailable
from serve.governance.audit.content.store import ContentStore
from serve.governance.audit.records.canonical import encoded
from serve.governance.audit.records.recorded_audit import RecordedAudit
from serve.governance.audit.trail import Trail
from serve.governance.pass_through import NO_TRAIL
from serve.governance.principal import ANONYMOUS
from serve.observe.record import RequestRecord
from serve.pipeline.events import Finished, TextDelta
from serve.timeline import Timeline
from tests.kills import num_kills
from tests.serve.api.house import chat
from tests.serve.governance.audit.content.secrets_of import subject_keys
from tests.serve.governance.audit.content.test_store import MemoryJournal
from tests.serve.governance.audit.records.logs import MemoryLog, audit_of, ends_of

GENERATION = ChatCompletions().parse(chat()).generation()


def record(number: int = 0, **fields: Any) -> RequestRecord:
    given = {"request_id": f"req-{number}", "method": "POST", "model": "demo"} | fields
    return RequestRecord(timeline=Timeline(arrived_at=0.0), **given)


async def begun(audit: RecordedAudit, of: RequestRecord) -> Trail:
    return await audit.begin(ANONYMOUS, of, GENERATION)


async def test_a_call_begins_and_ends() -> None:
    log = MemoryLog()
    audit = await audit_of(log, digest_of=lambda name: f"digest of {name}")
    call = record()
    trail = await begun(audit, call)
    assert log.types == ["begin"]
    assert call.audit_index == 0
    assert log.records[0]["model"] == {"name": "demo", "digest": "digest of demo"}
    assert not trail.wants_events
    call.timeline.finish_reason = "stop"
    await trail.end(call)
    assert (log.types, log.records[1]["begin"], len(audit.open)) == (["begin", "end"], 0, 0)
    assert log.records[1]["outcome"] == "done"


async def test_nothing_is_recorded_of_calls_where_that_is_not_asked_for() -> None:
    log = MemoryLog()
    audit = await audit_of(log, records_calls=False)
    assert await begun(audit, record()) is NO_TRAIL
    await audit.act(ANONYMOUS, record(), "usage.read", {})
    assert log.types == ["admin"]


async def test_a_call_whose_begin_fails_is_refused_and_ends_nowhere() -> None:
    log = MemoryLog()
    audit = await audit_of(log)
    log.fails = True
    for number in range(3):
        with pytest.raises(AuditUnavailable):
            await begun(audit, record(number))
    with pytest.raises(AuditUnavailable):
        audit.check()
    log.fails = False
    assert await audit.keeper.come_back()
    audit.check()
    assert log.types == ["recovered"]
    assert len(audit.open) == 0


async def test_a_begin_that_became_durable_after_its_refusal_gets_an_end() -> None:
    log = MemoryLog(keeps_what_fails=True)
    audit = await audit_of(log)
    log.fails = True
    with pytest.raises(AuditUnavailable):
        await begun(audit, record())
    log.fails = False
    assert await audit.keeper.come_back()
    assert log.types == ["begin", "recovered", "end"]
    assert log.records[2]["outcome"] == "not_run"


async def test_a_call_that_passed_is_not_told_as_one_that_did_not_run() -> None:
    log = MemoryLog(keeps_what_fails=True)
    audit = await audit_of(log, passes=True)
    log.fails = True
    assert await begun(audit, record()) is NO_TRAIL
    log.fails = False
    assert await audit.keeper.come_back()
    assert [end["outcome"] for end in log.of_type("end")] == ["unknown"]
    assert [gap["calls"] for gap in log.of_type("gap")] == [1]
    assert len(audit.open) == 0


async def test_an_end_that_fails_is_written_later_and_once() -> None:
    for is_kept in (False, True):
        log = MemoryLog(keeps_what_fails=is_kept)
        audit = await audit_of(log)
        call, other = record(1), record(2)
        trail, other_trail = await begun(audit, call), await begun(audit, other)
        log.fails = True
        call.timeline.finish_reason = "stop"
        with pytest.raises(AuditUnavailable):
            await trail.end(call)
        log.fails = False
        assert await audit.keeper.come_back()
        assert ends_of(log) == {"req-1": 1, "req-2": 0}
        (end,) = log.of_type("end")
        assert (end["outcome"], end.get("late")) == ("done", None if is_kept else True)
        await other_trail.end(other)
        assert ends_of(log) == {"req-1": 1, "req-2": 1}
        assert len(audit.open) == 0


async def test_what_passes_unrecorded_is_counted_and_told() -> None:
    log = MemoryLog()
    audit = await audit_of(log, passes=True)
    call = record(1)
    trail = await begun(audit, call)
    log.fails = True
    await trail.end(call)
    audit.check()
    unrecorded = record(2)
    assert await begun(audit, unrecorded) is NO_TRAIL
    assert unrecorded.audit_index is None
    await audit.act(None, record(3), "token.issue", {})
    log.fails = False
    assert await audit.keeper.come_back()
    (gap,) = log.of_type("gap")
    assert (gap["calls"], gap["acts"], gap["late_ends"]) == (1, 1, 1)
    assert ends_of(log) == {"req-1": 1}


async def test_what_passes_is_recorded_for_as_long_as_it_can_be(tmp_path: Path) -> None:
    """Else nothing would be told of it: the log is never away, so there is never a gap."""
    log, journal = MemoryLog(), MemoryJournal()
    audit = await audit_of(log, passes=True)
    audit.keeper.has_room = False
    call = record(1)
    await (await begun(audit, call)).end(call)
    audit.contents = ContentStore(subject_keys(tmp_path), journal, log_name="a")
    journal.fails = True
    call = record(2)
    await (await begun(audit, call)).end(call)
    await audit.act(None, record(3), "token.issue", {})
    assert log.types == ["begin", "end", "begin", "end", "admin"]
    assert log.records[2]["content"] == {"lost": True}


async def test_a_gap_is_told_though_the_log_fails_at_it() -> None:
    log = MemoryLog()
    audit = await audit_of(log, passes=True)
    log.fails = True
    await begun(audit, record())
    assert not await audit.keeper.come_back()
    assert not await audit.keeper.come_back()
    log.fails = False
    assert await audit.keeper.come_back()
    assert [gap["calls"] for gap in log.of_type("gap")] == [1]


async def test_a_start_ends_what_a_dead_server_left_open_once() -> None:
    log = MemoryLog(recovered="7 bytes of a torn tail were set aside")
    dead = await audit_of(log)
    for number in range(3):
        call = record(number)
        trail = await begun(dead, call)
        if number == 1:
            await trail.end(call)
    for _ in range(2):
        await audit_of(log)
        assert ends_of(log) == {"req-0": 1, "req-1": 1, "req-2": 1}
    assert [end["outcome"] for end in log.of_type("end")] == [
        "unknown", "interrupted", "interrupted"
    ]  # fmt: skip
    recovered = log.of_type("recovered")
    assert [each["ended"] for each in recovered] == [0, 2, 0]
    assert recovered[0]["cut"].startswith("7 bytes")


async def test_a_caller_that_leaves_while_its_begin_is_written_gets_an_end() -> None:
    log = MemoryLog()
    audit = await audit_of(log)
    task = asyncio.create_task(begun(audit, record()))
    for _ in range(2):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(20):
        await asyncio.sleep(0)
    assert ends_of(log) == {"req-0": 1}
    assert log.records[1]["outcome"] == "not_run"
    assert len(audit.open) == 0


async def test_an_act_is_recorded_before_it_is_answered() -> None:
    log = MemoryLog()
    audit = await audit_of(log)
    await audit.act(ANONYMOUS, record(), "usage.read", {"query": "from=1"})
    assert log.records[0]["act"] == "usage.read"
    log.fails = True
    with pytest.raises(AuditUnavailable):
        await audit.act(ANONYMOUS, record(), "usage.read", {})


async def test_strictly_each_event_of_a_stream_is_recorded_and_all_that_are_ready_at_once() -> None:
    log = MemoryLog()
    audit = await audit_of(log, is_strict=True)
    calls = [record(number, is_stream=True) for number in range(64)]
    trails = [await begun(audit, call) for call in calls]
    log.num_appends = 0
    for number in range(3):
        delta = TextDelta(index=0, text="x" * number)
        await asyncio.gather(*(trail.tell(delta) for trail in trails))
    await asyncio.gather(*(t.tell(Finished(index=0, reason="stop")) for t in trails))
    assert log.num_appends <= 8, "one write for all streams, not one for each"
    told = [item for chunks in log.of_type("chunks") for item in chunks["of"]]
    assert sorted(told) == sorted(
        [call.request_id, n + 1, [0, 1, 2, 0][n]] for call in calls for n in range(4)
    )
    await trails[0].end(calls[0])
    assert log.records[-1]["chunks"] == 4
    whole = await begun(audit, record(99))
    assert not whole.wants_events, "a whole answer leaves behind its end"


async def test_strictly_what_cannot_be_recorded_is_not_released() -> None:
    for passes in (False, True):
        log = MemoryLog()
        audit = await audit_of(log, is_strict=True, passes=passes)
        trail = await begun(audit, record(is_stream=True))
        log.fails = True
        if passes:
            await trail.tell(TextDelta(index=0, text="x"))
            log.fails = False
            assert await audit.keeper.come_back()
            assert [gap["pieces"] for gap in log.of_type("gap")] == [1], "they are counted"
        else:
            with pytest.raises(AuditUnavailable):
                await trail.tell(TextDelta(index=0, text="x"))


async def test_whatever_fails_whenever_no_call_ends_twice_and_all_end(
    pytestconfig: pytest.Config,
) -> None:
    """Failures that keep what they refuse, or not; hangs; and servers that die, at random."""
    for seed in range(num_kills(pytestconfig, quick=3, prove=1000)):
        await _life(seed)


async def _life(seed: int) -> None:
    source = random.Random(seed)
    log = MemoryLog()
    number, answered = 0, set()
    for _ in range(6):
        log.fails, log.stalls = False, None
        audit = await audit_of(log, deadline_s=0.002)
        running: list[tuple[RequestRecord, Trail]] = []
        for _ in range(60):
            move = source.random()
            if move < 0.1:
                log.keeps_what_fails = source.random() < 0.5
                log.fails = not log.fails
            elif move < 0.13:
                log.stalls = None if log.stalls else asyncio.Event()
            elif move < 0.25:
                await audit.keeper.come_back()
            elif move < 0.6 or not running:
                number += 1
                call = record(number)
                try:
                    running.append((call, await begun(audit, call)))
                except AuditUnavailable:
                    continue
            else:
                call, trail = running.pop(source.randrange(len(running)))
                try:
                    await trail.end(call)
                except AuditUnavailable:
                    continue
                answered.add(call.request_id)
        counts = ends_of(log)
        assert max(counts.values(), default=0) <= 1
        assert all(counts[each] == 1 for each in answered)
        if log.stalls:
            log.stalls.set()
        await asyncio.sleep(0)
    log.fails, log.stalls = False, None
    await audit_of(log)
    assert set(ends_of(log).values()) == {1}
    assert answered <= ends_of(log).keys()
    assert all(encoded(each) == entry for each, entry in zip(log.records, log.entries, strict=True))
