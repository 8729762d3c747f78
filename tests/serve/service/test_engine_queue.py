"""Places and turns: who begins, who is refused with what, and that no end leaks a place."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.errors import DeadlineExceeded, QueueFull
from serve.service import place_shares
from serve.service.asked import Asked
from serve.service.engine_queue import EngineQueue
from serve.service.place import Place


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def asked(tenant: str = "a", tokens: int = 100, **fields: Any) -> Asked:
    return Asked(tenant=tenant, request_class="interactive", tokens=tokens, **fields)


def queue_of(
    *, max_running: int = 2, look_ahead: int = 0, **fields: Any
) -> tuple[EngineQueue, Clock]:
    clock = Clock()
    fields |= {"max_running": max_running, "look_ahead": look_ahead}
    return EngineQueue(clock=clock, **fields), clock


def flooded(queue: EngineQueue, clock: Clock, num: int, *, ended: int = 0) -> list[Place]:
    """Places of so many requests, of whom the first end a second after one another."""
    places = [queue.join(asked()) for _ in range(num)]
    for _ in range(ended):
        clock.now += 1
        places.pop(0).leave(100)
    return places


async def test_as_many_begin_as_there_are_places_and_others_as_these_end() -> None:
    queue, _ = queue_of(max_running=3, look_ahead=1)
    places = [queue.join(asked()) for _ in range(6)]
    assert [place.is_waiting for place in places] == [False] * 4 + [True] * 2
    places[1].leave(10)
    assert not places[4].is_waiting
    assert places[5].is_waiting
    assert (queue.num_held, queue.num_waiting) == (4, 1)
    await places[4].wait()


async def test_the_look_ahead_is_a_sixteenth_and_at_least_one() -> None:
    for max_running, most in ((1, 2), (16, 17), (32, 34), (256, 272)):
        queue = EngineQueue(max_running=max_running)
        places = [queue.join(asked()) for _ in range(max_running * 2)]
        assert sum(not place.is_waiting for place in places) == min(most, 2 * max_running)


async def test_a_wide_request_waits_for_one_place_and_others_until_it_has_ended() -> None:
    queue, _ = queue_of(max_running=4)
    first, second = queue.join(asked(width=3)), queue.join(asked(width=1))
    wide, narrow = queue.join(asked("c", width=4)), queue.join(asked("b"))
    assert wide.is_waiting
    second.leave(0)
    assert not wide.is_waiting
    assert queue.num_held == 7
    first.leave(0)
    assert narrow.is_waiting  # all four places are the wide one's
    wide.leave(0)
    assert not narrow.is_waiting
    assert queue.num_held == 1


async def test_tokens_that_wait_are_bounded_and_one_alone_may_always_wait() -> None:
    queue, _ = queue_of(max_running=1, max_tokens=1000)
    queue.join(asked(tokens=50_000))  # it does not wait
    queue.join(asked(tokens=50_000))  # nobody else waits
    with pytest.raises(QueueFull) as refused:
        queue.join(asked(tokens=10))
    message = refused.value.message
    assert "50000 of at most 1000 tokens wait" in message
    assert "has 10" in message
    assert "number 2" in message
    assert "not known yet" in message
    with pytest.raises(QueueFull):
        queue.check(asked(tokens=1))


async def test_a_refusal_tells_the_wait_where_it_is_known() -> None:
    queue, clock = queue_of(max_running=1)
    flooded(queue, clock, 21, ended=10)  # one a second
    refused = queue.refusal("Full.", asked())
    assert "10 requests wait; this one would be number 11" in refused.message
    assert "the expected wait is 11.0 s" in refused.message


async def test_those_that_are_refused_are_called_one_turn_after_another() -> None:
    queue, clock = queue_of(max_running=1)
    flooded(queue, clock, 40, ended=10)
    told = [queue.refusal("Full.", asked()).retry_after_s for _ in range(20)]
    assert told == [4, 8, *[10] * 18]


async def test_a_quarter_is_kept_for_those_that_come_back_while_there_are_any() -> None:
    queue, clock = queue_of(max_running=1, max_waiting=8)
    places = flooded(queue, clock, 14, ended=6)  # one runs, seven wait: a refused one was never
    queue.check(asked())
    queue.refusal("Full.", asked())
    with pytest.raises(QueueFull, match="kept for those"):
        queue.check(asked())
    queue.check(asked("b"))  # it has less waiting than the others
    queue.join(asked(is_retry=True))
    for place in places[:4]:
        place.leave(100)
    queue.check(asked())
    clock.now += 60
    places[4].leave(100)
    flooded(queue, clock, 6)
    queue.check(asked())  # they had the time to come


async def test_a_turn_that_would_come_too_late_is_refused_before_anything_is_done() -> None:
    queue, clock = queue_of(max_running=1)
    queue.join(asked())
    queue.join(asked())
    queue.check(asked(deadline_at=0.001))  # nobody knows how long it takes
    queue, clock = queue_of(max_running=1)
    flooded(queue, clock, 21, ended=10)
    queue.check(asked(deadline_at=clock.now + 11.5))
    queue.check(asked("b", deadline_at=clock.now + 1.5))  # its turn is the next
    with pytest.raises(DeadlineExceeded) as refused:
        queue.check(asked(deadline_at=clock.now + 10.5))
    assert refused.value.status == 504
    assert refused.value.retry_after_s == 1
    assert "expected wait is 11.0 s, and the deadline is in 10.5 s" in refused.value.message


async def test_a_deadline_that_has_passed_is_refused_also_where_there_is_room() -> None:
    queue, clock = queue_of()
    clock.now = 5.0
    with pytest.raises(DeadlineExceeded):
        queue.check(asked(deadline_at=5.0))


async def test_who_is_cancelled_at_the_hand_over_gives_its_place_on() -> None:
    queue, _ = queue_of(max_running=1)
    first = queue.join(asked())
    tasks = [asyncio.create_task(_hold(queue, asked())) for _ in range(3)]
    await asyncio.sleep(0)
    first.leave(0)  # the first task's turn; it has not run since
    tasks[0].cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (queue.num_held, queue.num_waiting) == (1, 1)
    for task in tasks[1:]:
        task.cancel()
    await asyncio.wait(tasks)
    assert (queue.num_held, queue.num_waiting) == (0, 0)


@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(0, 2))
def test_no_place_is_lost_whoever_leaves_when(seed: int, max_running: int, look_ahead: int) -> None:
    """Clients that come and are cancelled in any order: places are all free afterwards."""
    asyncio.run(_random_clients(random.Random(seed), max_running, look_ahead))


async def _random_clients(randomness: random.Random, max_running: int, look_ahead: int) -> None:
    queue, clock = queue_of(max_running=max_running, look_ahead=look_ahead)
    tasks: list[asyncio.Task[None]] = []
    for _ in range(30):
        clock.now += randomness.random()
        for _ in range(randomness.randrange(3)):
            one = asked(
                randomness.choice("abc"),
                randomness.randrange(2000),
                width=randomness.randint(1, max_running),
            )
            tasks.append(asyncio.create_task(_hold(queue, one, randomness.randrange(6))))
        if tasks and randomness.random() < 0.5:
            randomness.choice(tasks).cancel()
        if randomness.random() < 0.7:
            await asyncio.sleep(0)
        assert queue.num_held <= max_running + look_ahead + max_running - 1
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
    assert (queue.num_held, queue.num_waiting, queue.num_waiting_sequences()) == (0, 0, 0)
    assert not queue.join(asked()).is_waiting


async def test_a_newcomer_finds_a_place_beside_a_flood_and_a_flood_does_not() -> None:
    queue, _ = queue_of(max_running=16)
    queue.join(asked("b")).leave(100)
    flood = flooded_by(queue, 60)
    assert queue.num_held == 16 - 8
    assert sum(place.is_waiting for place in flood) == 52
    queue.check(asked("b", deadline_at=0.001))  # nobody is before it
    assert not any(queue.join(asked("b")).is_waiting for _ in range(4))
    assert not any(queue.join(asked("new")).is_waiting for _ in range(4))
    assert queue.join(asked("other")).is_waiting  # nothing is free


async def test_a_newcomer_begins_at_once_whatever_waits_in_tokens() -> None:
    queue, _ = queue_of(max_running=16)
    queue.join(asked("b")).leave(100)
    flooded_by(queue, 60)
    queue._max_tokens = 4600
    with pytest.raises(QueueFull):
        queue.join(asked("flood", tokens=5000))
    assert not queue.join(asked("b", tokens=5000)).is_waiting


async def test_a_lower_class_does_not_take_what_is_kept_from_a_higher() -> None:
    queue, _ = queue_of(max_running=16)
    queue.join(asked("b")).leave(100)
    flooded_by(queue, 60)
    batch = queue.join(Asked(tenant="b", request_class="batch", tokens=10))
    assert batch.is_waiting
    assert not queue.join(asked("b")).is_waiting


async def test_a_reserve_that_nobody_needs_any_more_is_given_without_an_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(place_shares, "ACTIVE_S", 0.001)
    queue, clock = queue_of(max_running=16)
    queue.join(asked("b")).leave(100)
    flood = flooded_by(queue, 60)
    assert flood[15].is_waiting
    clock.now = 1.0
    async with asyncio.timeout(20):
        await flood[15].wait()
    assert queue.num_held == 16


async def test_the_wide_request_of_a_flood_has_its_turn_in_the_end() -> None:
    """Others take each place that is free as soon as it is, and it waits for none to run out."""
    queue, _ = queue_of(max_running=8)
    running = [queue.join(asked(tenant)) for tenant in "bc" * 4]
    wide = [queue.join(asked("flood", tokens=10_000, width=8)) for _ in range(3)]
    others = [queue.join(asked(tenant)) for tenant in "bc" * 10]
    begun: list[Place] = []
    for _ in range(2000):
        running.pop(0).leave(100)
        for waiting in (wide, others):
            begun += (now := [place for place in waiting if not place.is_waiting])
            running += now
            for place in now:
                waiting.remove(place)
        others += [queue.join(asked(tenant)) for tenant in "bc"[: 20 - len(others)]]
        if not wide:
            return
    pytest.fail("a wide request was never served")


@given(st.integers(0, 2**32), st.sampled_from([1, 2, 8, 16]), st.booleans())
def test_no_place_is_free_but_the_reserve_where_somebody_waits(
    seed: int, max_running: int, is_wide: bool
) -> None:
    asyncio.run(_random_places(random.Random(seed), max_running, is_wide=is_wide))


async def _random_places(randomness: random.Random, max_running: int, *, is_wide: bool) -> None:
    queue, clock = queue_of(max_running=max_running, look_ahead=1)
    num_places, reserve = max_running + 1, queue._shares._reserve
    places: dict[Place, str] = {}
    for num_left in reversed(range(150)):
        clock.now += randomness.choice([0.0, 0.1, 3.0])
        tenant = randomness.choice("aaaaabc")
        if randomness.random() < 0.6 and num_left > 75:
            width = randomness.randint(1, max_running) if is_wide else 1
            places[queue.join(asked(tenant, randomness.randrange(3000), width=width))] = tenant
        elif places:
            gone = randomness.choice(list(places))
            del places[gone]
            gone.leave(randomness.randrange(3000))
        num_free = num_places - queue.num_held
        assert num_free > -max_running
        waiting = {tenant for place, tenant in places.items() if place.is_waiting}
        if waiting:
            assert num_free <= reserve.num_places(clock.now) + 1
        if num_free > 0:
            assert waiting <= {t for place, t in places.items() if not place.is_waiting}
    for _ in range(len(places)):  # those that run end, and nothing that waits is left over
        gone = next(place for place in places if not place.is_waiting)
        del places[gone]
        gone.leave(10)
    assert (queue.num_held, queue.num_waiting) == (0, 0)


def flooded_by(queue: EngineQueue, num: int) -> list[Place]:
    """So many requests of one tenant that has used up what it had saved."""
    places = [queue.join(asked("flood")) for _ in range(num + 50)]
    for _ in range(50):
        places.pop(0).leave(100)
    return places


async def _hold(queue: EngineQueue, one: Asked, num_turns: int = 1_000_000) -> None:
    place = queue.join(one)
    try:
        await place.wait()
        for _ in range(num_turns):
            await asyncio.sleep(0)
    finally:
        with suppress(Exception):
            place.leave(one.tokens)
