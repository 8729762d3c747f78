"""Delivery of tokens: what a consumer finds, when it is woken, and the way from another thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.engine.delivery import (
    MAX_LAG,
    AddressedToken,
    CrossThreadDelivery,
    Delivery,
    Mailbox,
)
from serve.engine.protocol import TokenChunk, TokenLogprob
from serve.errors import EngineDeadError, InternalError

HOLD_S = 0.010
QUICK_S, SLOW_S = HOLD_S / 2, HOLD_S * 2


class Clock(asyncio.SelectorEventLoop):
    """An event loop whose timers are fired by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.timers: list[asyncio.TimerHandle] = []

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: object
    ) -> asyncio.TimerHandle:
        assert delay == HOLD_S
        self.timers.append(asyncio.TimerHandle(0.0, callback, args, self))
        return self.timers[-1]

    def fire(self) -> None:
        for timer in self.timers:
            if not timer.cancelled():
                timer._run()
        self.timers.clear()


class Streams:
    """Consumers that take as soon as they are woken."""

    def __init__(self, num_streams: int, hold_s: float = HOLD_S) -> None:
        self.clock = Clock()
        self.delivery = Delivery(self.clock, hold_s)
        self.at = 100.0
        self.boxes = [self.delivery.mailbox() for _ in range(num_streams)]
        self.chunks: list[list[list[int]]] = [[] for _ in self.boxes]
        self.tasks = [self.clock.create_task(self._consume(i)) for i in range(num_streams)]
        self.turn()

    async def _consume(self, index: int) -> None:
        while True:
            chunk = await self.boxes[index].take()
            self.chunks[index].append(list(chunk.token_ids))
            if chunk.finish_reason is not None:
                return

    def turn(self) -> None:
        self.clock.run_until_complete(asyncio.sleep(0))
        self.clock.run_until_complete(asyncio.sleep(0))

    def step(self, token_id: int, gap_s: float, *, only: int | None = None, last: bool = False):
        self.at += gap_s
        self.delivery.begin(self.at)
        for index, box in enumerate(self.boxes):
            if only in {None, index}:
                self.delivery.put(box, [token_id], None, "length" if last else None)
        self.delivery.end()
        self.turn()

    def close(self) -> None:
        for task in self.tasks:
            task.cancel()
        self.turn()
        self.clock.close()


def test_slow_steps_are_handed_over_one_by_one() -> None:
    streams = Streams(2)
    for token_id in range(5):
        streams.step(token_id, SLOW_S)
        assert [chunks[-1] for chunks in streams.chunks] == [[token_id]] * 2
    streams.close()


def test_quick_steps_are_handed_over_in_pairs_half_of_the_streams_each_time() -> None:
    streams = Streams(2)
    for token_id in range(6):
        streams.step(token_id, QUICK_S)
    streams.step(6, QUICK_S, last=True)
    assert sorted(streams.chunks) == [
        [[0], [1], [2, 3], [4, 5], [6]],
        [[0], [1, 2], [3, 4], [5, 6]],
    ]
    assert all(task.done() for task in streams.tasks)
    streams.close()


def test_a_hold_of_nothing_holds_nothing() -> None:
    streams = Streams(2, hold_s=0.0)
    for token_id in range(4):
        streams.step(token_id, QUICK_S)
    assert streams.chunks == [[[0], [1], [2], [3]]] * 2
    streams.close()


def test_the_timer_hands_over_what_is_held_when_the_engine_pauses() -> None:
    streams = Streams(2)
    for token_id in range(3):
        streams.step(token_id, QUICK_S)
    streams.clock.fire()
    streams.turn()
    assert [list(chain.from_iterable(chunks)) for chunks in streams.chunks] == [[0, 1, 2]] * 2
    streams.close()


def test_a_token_is_held_for_one_step_even_if_its_stream_is_not_in_the_next() -> None:
    streams = Streams(2)
    for token_id in range(3):
        streams.step(token_id, QUICK_S)
    held = next(i for i, chunks in enumerate(streams.chunks) if chunks[-1] != [2])
    streams.step(3, QUICK_S, only=1 - held)
    assert streams.chunks[held][-1][-1] == 2
    streams.close()


def test_parts_of_one_step_count_as_one_step() -> None:
    streams = Streams(4)
    streams.step(0, SLOW_S)
    for token_id in (1, 2):
        streams.at += QUICK_S
        for part in (streams.boxes[:2], streams.boxes[2:]):
            streams.delivery.begin(streams.at)
            for box in part:
                streams.delivery.put(box, [token_id], None, None)
            streams.delivery.end()
        streams.turn()
    assert sorted(streams.chunks) == [[[0], [1]], [[0], [1]], [[0], [1, 2]], [[0], [1, 2]]]
    streams.close()


@given(
    gaps=st.lists(st.sampled_from([QUICK_S, SLOW_S]), min_size=1, max_size=30),
    fires=st.sets(st.integers(0, 29)),
)
def test_nothing_is_lost_or_reordered_and_chunks_are_at_least_half_the_tokens(gaps, fires) -> None:
    streams = Streams(2)
    for token_id, gap_s in enumerate(gaps):
        streams.step(token_id, gap_s, last=token_id == len(gaps) - 1)
        if token_id in fires:
            streams.clock.fire()
            streams.turn()
    for chunks in streams.chunks:
        assert list(chain.from_iterable(chunks)) == list(range(len(gaps)))
        assert 2 * len(chunks) >= len(gaps)
    streams.close()


# What a consumer finds in its mailbox, whether it is quick, late or far behind


def mailbox() -> Mailbox:
    return Mailbox(asyncio.get_running_loop())


async def test_one_that_is_a_little_late_gets_pairs_and_the_end_at_once() -> None:
    box = mailbox()
    logprobs = [TokenLogprob(token_id, -0.5) for token_id in range(8)]
    box.put([0, 1, 2], logprobs[:3], None)
    chunks = [await box.take()]
    box.put([3, 4, 5, 6, 7], logprobs[3:], "length")
    chunks.append(await box.take())
    assert [list(chunk.token_ids) for chunk in chunks] == [[0, 1], [2, 3, 4, 5, 6, 7]]
    assert [chunk.finish_reason for chunk in chunks] == [None, "length"]
    assert [one for chunk in chunks for one in chunk.logprobs or ()] == logprobs


async def test_one_that_lags_gets_all_at_once() -> None:
    box = mailbox()
    for token_id in range(MAX_LAG + 1):
        box.put([token_id], None, None)
    chunk = await box.take()
    assert list(chunk.token_ids) == list(range(MAX_LAG + 1))
    assert chunk.logprobs is None


async def test_tokens_wait_until_the_consumer_is_woken() -> None:
    box = mailbox()
    taking = asyncio.create_task(box.take())
    await asyncio.sleep(0)
    box.put([1], None, None)
    await asyncio.sleep(0)
    assert not taking.done()
    box.wake()
    box.wake()
    assert list((await taking).token_ids) == [1]


async def test_an_error_comes_after_the_tokens() -> None:
    box = mailbox()
    box.put([1], None, None)
    box.fail(EngineDeadError("gone"))
    assert list((await box.take()).token_ids) == [1]
    with pytest.raises(EngineDeadError, match="gone"):
        await box.take()


async def test_a_consumer_that_went_away_is_not_woken() -> None:
    box = mailbox()
    taking = asyncio.create_task(box.take())
    await asyncio.sleep(0)
    taking.cancel()
    box.put([1], None, None)
    box.wake()
    assert list((await box.take()).token_ids) == [1]


# From a step thread to event loops


async def take(box: Mailbox) -> TokenChunk:
    async with asyncio.timeout(10):
        return await box.take()


def in_a_thread(function: Callable[..., object], *arguments: object) -> None:
    thread = threading.Thread(target=function, args=arguments)
    thread.start()
    thread.join()


async def test_tokens_of_another_thread_reach_their_streams_with_their_logprobs() -> None:
    delivery = CrossThreadDelivery(0.0)
    first, second = delivery.mailbox(), delivery.mailbox()
    logprob = TokenLogprob(8, -0.25)
    tokens = [AddressedToken(first, 7, None, None), AddressedToken(second, 8, logprob, "stop")]
    in_a_thread(delivery.send, tokens, 1.0)
    one, two = await take(first), await take(second)
    assert (one.token_ids, one.logprobs, one.finish_reason) == ([7], None, None)
    assert (two.token_ids, two.logprobs, two.finish_reason) == ([8], [logprob], "stop")


async def test_an_error_of_another_thread_comes_after_the_tokens_sent_before_it() -> None:
    delivery = CrossThreadDelivery(0.0)
    box = delivery.mailbox()
    in_a_thread(delivery.send, [AddressedToken(box, 7, None, None)], 1.0)
    in_a_thread(delivery.fail, box, EngineDeadError("gone"))
    assert (await take(box)).token_ids == [7]
    with pytest.raises(EngineDeadError, match="gone"):
        await take(box)


async def test_each_event_loop_gets_its_own_tokens_and_a_closed_one_none() -> None:
    delivery = CrossThreadDelivery(0.0)
    here = delivery.mailbox()
    closed: list[Mailbox] = []

    async def on_a_loop_that_ends() -> None:
        closed.append(delivery.mailbox())

    in_a_thread(asyncio.run, on_a_loop_that_ends())
    delivery.send(
        [AddressedToken(closed[0], 1, None, None), AddressedToken(here, 2, None, "length")], 1.0
    )
    delivery.fail(closed[0], EngineDeadError("nobody listens"))
    assert (await take(here)).token_ids == [2]


async def test_what_comes_after_a_failure_is_not_delivered() -> None:
    """A token before it is missing, and a consumer that is late would take the rest for whole."""
    mailbox = Mailbox(asyncio.get_running_loop())
    mailbox.put([1, 2], None, None)
    mailbox.fail(InternalError("lost one"))
    mailbox.put([4], None, "length")
    chunk = await mailbox.take()
    assert (chunk.token_ids, chunk.finish_reason) == ([1, 2], None)
    with pytest.raises(InternalError):
        await mailbox.take()
