"""The keeper: what comes together is one write, a log that fails comes back, and nobody hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from serve.errors import AuditUnavailable
from serve.governance.audit.records.entry_log import EntryLog, LogAwayError
from serve.governance.audit.records.keeper import TRIES, LogKeeper
from tests.serve.governance.audit.records.logs import MemoryLog, audit_of

BACK = b"back"


class Back:
    """Gives an entry whenever a log comes back."""

    num_opened = 0

    async def __call__(self, _log: EntryLog, number: int) -> Sequence[bytes]:
        self.num_opened += number == 0
        return [BACK] if number == 0 and self.num_opened > 1 else ()


class Listener:
    def __init__(self) -> None:
        self.writes: list[int] = []

    def audit_written(self, num_entries: int, seconds: float) -> None:
        assert seconds >= 0
        self.writes.append(num_entries)


async def keeper_of(log: MemoryLog, **options: object) -> LogKeeper:
    keeper = LogKeeper(log.open, Back(), **options)  # type: ignore[arg-type]
    await keeper.open()
    return keeper


async def test_what_comes_together_is_written_together() -> None:
    log, listener = MemoryLog(), Listener()
    keeper = await keeper_of(log, listener=listener)
    found = await asyncio.gather(*(keeper.append([b"%d" % n, b"-"]) for n in range(64)))
    assert found == [2 * n for n in range(64)]
    assert listener.writes == [128]
    assert (keeper.size, keeper.num_written) == (128, 128)


async def test_before_it_is_open_and_after_its_end_nothing_is_taken() -> None:
    keeper = LogKeeper(MemoryLog().open, Back())
    with pytest.raises(AuditUnavailable):
        await keeper.append([b"a"])
    await keeper.open()
    keeper.check()
    await keeper.close()
    with pytest.raises(AuditUnavailable):
        keeper.check()


async def test_a_log_that_cannot_be_opened_is_told() -> None:
    with pytest.raises(LogAwayError, match="full"):
        await keeper_of(MemoryLog(fails=True))


async def test_a_failure_refuses_all_that_waited_and_what_comes_then() -> None:
    log = MemoryLog()
    keeper = await keeper_of(log)
    log.fails = True
    refused = await asyncio.gather(
        *(keeper.append([b"a"]) for _ in range(5)), return_exceptions=True
    )
    assert all(isinstance(each, AuditUnavailable) for each in refused)
    assert log.num_appends == 1
    with pytest.raises(AuditUnavailable) as error:
        keeper.check()
    assert error.value.retry_after_s == 2
    with pytest.raises(AuditUnavailable):
        await keeper.append([b"a"])
    assert log.num_appends == 1, "a log that is away is left alone"
    assert not await keeper.come_back()


async def test_it_comes_back() -> None:
    log = MemoryLog()
    keeper = await keeper_of(log)
    log.fails = True
    with pytest.raises(AuditUnavailable):
        await keeper.append([b"a"])
    log.fails = False
    assert await keeper.come_back()
    assert await keeper.append([b"b"]) == 1
    assert log.entries == [BACK, b"b"]
    assert await keeper.come_back(), "it is in use"


async def test_one_that_stays_away_is_opened_anew() -> None:
    log = MemoryLog()
    told: list[Sequence[bytes]] = [[b"x"], [b"x"], [b"x"], [b"x"]]

    async def lacking(_log: EntryLog, _number: int) -> Sequence[bytes]:
        return told.pop() if told else ()

    keeper = LogKeeper(log.open, lacking)
    await keeper.open()
    told.extend([b"y"] for _ in range(TRIES))
    log.fails = True
    with pytest.raises(AuditUnavailable):
        await keeper.append([b"a"])
    for _ in range(TRIES):
        assert not await keeper.come_back(), "what it lacks cannot be written"
    assert not await keeper.come_back(), "nor can it be opened"
    log.fails = False
    assert await keeper.come_back()
    assert (log.num_opened, keeper.is_available) == (2, True)


async def test_a_write_that_hangs_ends_at_its_deadline_and_nobody_queues_behind_it() -> None:
    log = MemoryLog()
    keeper = await keeper_of(log, deadline_s=0.01)
    log.stalls = asyncio.Event()
    with pytest.raises(AuditUnavailable, match="does not answer"):
        await keeper.append([b"slow"])
    with pytest.raises(AuditUnavailable):
        await keeper.append([b"behind it"])
    assert not await keeper.come_back(), "it still hangs"
    assert (log.num_appends, log.num_opened) == (1, 1)
    log.stalls.set()
    await asyncio.sleep(0.01)
    assert await keeper.come_back()
    assert log.num_opened == 1, "it was slow, and is whole"
    assert await keeper.append([b"next"]) == 2
    assert log.entries == [b"slow", BACK, b"next"]


async def test_a_caller_that_leaves_takes_nobody_along() -> None:
    log = MemoryLog()
    keeper = await keeper_of(log)
    leaving, staying = (asyncio.create_task(keeper.append([b"x"])) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == 1
    assert log.size == 2, "it is written, whoever waits"


async def test_a_defect_of_the_log_leaves_nobody_waiting() -> None:
    log = MemoryLog()
    keeper = await keeper_of(log)

    async def broken(_entries: Sequence[bytes]) -> int:
        raise KeyError("a defect")

    log.append = broken  # type: ignore[method-assign]
    with pytest.raises(AuditUnavailable):
        await keeper.append([b"a"])
    assert not keeper.is_available


async def test_without_room_no_call_begins_and_entries_are_still_taken() -> None:
    keeper = await keeper_of(MemoryLog())
    keeper.has_room = False
    with pytest.raises(AuditUnavailable, match="no room"):
        keeper.check()
    assert await keeper.append([b"an end"]) == 0


async def test_what_a_log_lacks_is_written_until_it_lacks_nothing() -> None:
    log = MemoryLog()
    lacks = [[b"2"] * 1000, [b"1"]]

    async def on_open(_log: EntryLog, _number: int) -> Sequence[bytes]:
        return lacks.pop() if lacks else ()

    keeper = LogKeeper(log.open, on_open)
    await keeper.open()
    assert log.entries == [b"1", *[b"2"] * 1000]
    assert log.num_appends == 3, "in slices"


async def test_one_that_always_lacks_more_is_not_used() -> None:
    async def on_open(_log: EntryLog, _number: int) -> Sequence[bytes]:
        return [b"more"]

    keeper = LogKeeper(MemoryLog().open, on_open)
    with pytest.raises(LogAwayError, match="more and more"):
        await keeper.open()
    assert not keeper.is_available


async def test_a_log_that_comes_back_with_less_is_not_used() -> None:
    log = MemoryLog()
    audit = await audit_of(log)
    await audit.keeper.append([b"{}", b"{}"])
    kept = log.entries
    log.fails = True
    with pytest.raises(AuditUnavailable):
        await audit.keeper.append([b"{}"])
    log.fails, log.entries = False, kept[:1]
    assert not await audit.keeper.come_back()
    log.entries = kept
    assert await audit.keeper.come_back()
