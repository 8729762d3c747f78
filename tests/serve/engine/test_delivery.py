"""When a stream's tokens are handed over: at slow steps each at once, at quick ones in pairs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from serve.engine.delivery import Delivery

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
        self.taken: list[list[list[int]]] = [[] for _ in self.boxes]
        self.tasks = [self.clock.create_task(self._consume(i)) for i in range(num_streams)]
        self.turn()

    async def _consume(self, index: int) -> None:
        while True:
            chunk = await self.boxes[index].take()
            self.taken[index].append(list(chunk.token_ids))
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
        assert [taken[-1] for taken in streams.taken] == [[token_id]] * 2
    streams.close()


def test_quick_steps_are_handed_over_in_pairs_half_of_the_streams_each_time() -> None:
    streams = Streams(2)
    for token_id in range(6):
        streams.step(token_id, QUICK_S)
    streams.step(6, QUICK_S, last=True)
    assert sorted(streams.taken) == [
        [[0], [1], [2, 3], [4, 5], [6]],
        [[0], [1, 2], [3, 4], [5, 6]],
    ]
    assert all(task.done() for task in streams.tasks)
    streams.close()


def test_a_hold_of_nothing_holds_nothing() -> None:
    streams = Streams(2, hold_s=0.0)
    for token_id in range(4):
        streams.step(token_id, QUICK_S)
    assert streams.taken == [[[0], [1], [2], [3]]] * 2
    streams.close()


def test_the_timer_hands_over_what_is_held_when_the_engine_pauses() -> None:
    streams = Streams(2)
    for token_id in range(3):
        streams.step(token_id, QUICK_S)
    streams.clock.fire()
    streams.turn()
    assert [list(chain.from_iterable(taken)) for taken in streams.taken] == [[0, 1, 2]] * 2
    streams.close()


def test_a_token_is_held_for_one_step_even_if_its_stream_is_not_in_the_next() -> None:
    streams = Streams(2)
    for token_id in range(3):
        streams.step(token_id, QUICK_S)
    held = next(i for i, taken in enumerate(streams.taken) if taken[-1] != [2])
    streams.step(3, QUICK_S, only=1 - held)
    assert streams.taken[held][-1][-1] == 2
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
    assert sorted(streams.taken) == [[[0], [1]], [[0], [1]], [[0], [1, 2]], [[0], [1, 2]]]
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
    for taken in streams.taken:
        assert list(chain.from_iterable(taken)) == list(range(len(gaps)))
        assert 2 * len(taken) >= len(gaps)
    streams.close()
