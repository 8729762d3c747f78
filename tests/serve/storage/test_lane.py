"""A lane's queue, groups and watch, with works that need no database."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from serve.storage.counting.counters import StoreUnavailable
from serve.storage.lane import Expectation, Job, Lane


class Store:
    """Runs jobs, each group only once it is let through."""

    def __init__(self) -> None:
        self.groups: list[int] = []
        self.may_run = threading.Semaphore(0)
        self.expectation = Expectation()
        self.answer_s = 60.0
        self.fails_with: Exception | None = None

    def run(self, jobs: Sequence[Job]) -> None:
        self.expectation.expect(self.answer_s)
        assert self.may_run.acquire(timeout=30)
        if self.fails_with is not None:
            raise self.fails_with
        self.groups.append(len(jobs))
        for job in jobs:
            job.result = job.work(None)


@pytest.fixture
def store() -> Store:
    return Store()


def lane_of(store: Store, *, queue_s: float = 60.0, max_waiting: int = 100) -> Lane:
    return Lane(
        "test", store.run, store.expectation,
        watch_s=0.01, queue_s=queue_s, max_group=4, max_waiting=max_waiting,
    )  # fmt: skip


async def results(calls) -> list[object]:
    told = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 30)
    return [each.result if isinstance(each, Job) else type(each) for each in told]


async def begun(lane: Lane, num_calls: int) -> list[asyncio.Task[Job]]:
    """Calls, the first of which runs alone while the others wait."""
    calls = [asyncio.create_task(lane.call(lambda _: 0))]
    while not lane._running:
        await asyncio.sleep(0.001)
    calls += [asyncio.create_task(lane.call(lambda _, n=n: n)) for n in range(1, num_calls)]
    await asyncio.sleep(0)
    return calls


async def test_what_waits_is_run_in_groups_in_order(store):
    lane = lane_of(store)
    calls = await begun(lane, 10)
    store.may_run.release(10)
    assert await results(calls) == list(range(10))
    assert store.groups == [1, 4, 4, 1]
    await lane.close()


async def test_a_queue_that_is_full_refuses(store):
    lane = lane_of(store, max_waiting=3)
    calls = await begun(lane, 4)
    with pytest.raises(StoreUnavailable, match="3 calls wait"):
        await lane.call(lambda _: None)
    store.may_run.release(10)
    assert await results(calls) == [0, 1, 2, 3]
    await lane.close()


async def test_a_caller_that_left_is_passed_over(store):
    lane = lane_of(store)
    calls = await begun(lane, 3)
    calls[1].cancel()
    await asyncio.sleep(0)
    store.may_run.release(10)
    assert await results(calls) == [0, asyncio.CancelledError, 2]
    assert store.groups == [1, 1]
    await lane.close()


async def test_a_silent_store_fails_all_that_wait_and_the_next(store):
    store.answer_s = 0.02
    lane = lane_of(store)
    calls = [lane.call(lambda _: None) for _ in range(7)]
    assert await results(calls) == [StoreUnavailable] * 7
    assert await results([lane.call(lambda _: None)]) == [StoreUnavailable]
    store.answer_s = 60.0
    store.may_run.release(10)
    assert await results([lane.call(lambda _: 5)]) == [5]
    await lane.close()


async def test_a_turn_that_does_not_come_is_given_up(store):
    """Those who run are waited for: the store answers, if slowly."""
    lane = lane_of(store, queue_s=0.03)
    calls = await begun(lane, 3)
    assert await results(calls[1:]) == [StoreUnavailable] * 2
    store.may_run.release(10)
    assert await results(calls[:1]) == [0]
    await lane.close()


async def test_a_defect_ends_no_thread(store, caplog):
    lane = lane_of(store)
    store.fails_with = KeyError("defect")
    store.may_run.release(1)
    assert await results([lane.call(lambda _: None)]) == [StoreUnavailable]
    assert "database thread" in caplog.text
    store.fails_with = None
    store.may_run.release(1)
    assert await results([lane.call(lambda _: 1)]) == [1]
    await lane.close()


async def test_what_was_taken_is_finished_and_nothing_more_is_taken(store):
    lane = lane_of(store)
    calls = await begun(lane, 6)
    closing = asyncio.create_task(lane.close())
    await asyncio.sleep(0.01)
    with pytest.raises(StoreUnavailable, match="closed"):
        await lane.call(lambda _: None)
    store.may_run.release(10)
    assert await results(calls) == list(range(6))
    await closing
    assert not lane._worker.is_alive()
    assert not lane._watcher.is_alive()
