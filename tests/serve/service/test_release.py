"""Events reach their caller recorded, and then as only the caller sees them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

import pytest

from serve.errors import QueueFull
from serve.pipeline.events import ChoiceEvent, Event, Finished, PromptTokens, TextDelta
from serve.service.release import released
from tests.serve.service.callers import Trail


class Upper:
    """A stage that holds text back until the end, and tells it in capitals."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, events: Sequence[ChoiceEvent]) -> Sequence[ChoiceEvent]:
        told: list[ChoiceEvent] = []
        for event in events:
            if isinstance(event, TextDelta):
                self._held += event.text
            elif isinstance(event, Finished):
                told += [TextDelta(index=event.index, text=self._held.upper()), event]
        return told


EVENTS: tuple[Event, ...] = (
    PromptTokens(prompt=0, token_ids=(1,)),
    TextDelta(index=0, text="a"),
    TextDelta(index=1, text="x"),
    TextDelta(index=0, text="b"),
    Finished(index=0, reason="stop"),
    Finished(index=1, reason="length"),
)


async def events() -> AsyncGenerator[Event, None]:
    for event in EVENTS:
        yield event


async def test_nothing_stands_between_where_nothing_is_wanted() -> None:
    told = events()
    assert released(told, Trail(), None) is told
    await told.aclose()


async def test_the_trail_sees_what_the_last_stages_get() -> None:
    trail = Trail(wants_events=True)
    got = [event async for event in released(events(), trail, lambda _index: [Upper()])]
    assert trail.lines == ["text a", "text x", "text b"]
    assert got == [
        EVENTS[0],
        replace(EVENTS[1], text="AB"),
        EVENTS[4],
        replace(EVENTS[2], text="X"),
        EVENTS[5],
    ]


class SlowTrail(Trail):
    """A trail whose events are written when it is told to."""

    def __init__(self) -> None:
        super().__init__(wants_events=True, waits=True)
        self.is_written = asyncio.Event()
        self.told: list[Event] = []
        self.failure: Exception | None = None

    async def tell(self, event: Event) -> None:
        self.told.append(event)
        await self.is_written.wait()
        if self.failure is not None:
            raise self.failure


async def _turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_events_of_several_choices_are_recorded_side_by_side() -> None:
    trail, got = SlowTrail(), list[Event]()
    told = released(events(), trail, None, most_ahead=1)

    async def take() -> None:
        async for event in told:
            got.append(event)

    taking = asyncio.create_task(take())
    await _turns()
    assert trail.told == list(EVENTS[:3]), "of each choice one at a time"
    assert not got, "none before it is written"
    trail.is_written.set()
    await taking
    assert got == trail.told == list(EVENTS)


async def test_events_that_are_all_there_are_recorded_together_as_far_as_is_said() -> None:
    async def kept() -> AsyncGenerator[Event, None]:
        for number in range(9):
            yield TextDelta(index=0, text=str(number))

    trail = SlowTrail()
    told = released(kept(), trail, None, most_ahead=4)
    taking = asyncio.create_task(anext(told))
    await _turns()
    assert len(trail.told) == 4
    trail.is_written.set()
    got = [await taking, *[event async for event in told]]
    assert got == trail.told
    assert len(got) == 9


async def test_who_leaves_while_events_are_recorded_leaves_nothing_running() -> None:
    trail, source = SlowTrail(), events()
    before = asyncio.all_tasks()
    told = released(source, trail, lambda _index: [Upper()], most_ahead=1)
    taking = asyncio.create_task(anext(told))
    await _turns()
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    await told.aclose()
    await source.aclose()
    assert asyncio.all_tasks() == before


async def test_what_ends_events_comes_behind_those_before_it() -> None:
    async def breaking() -> AsyncGenerator[Event, None]:
        yield EVENTS[1]
        raise ValueError("the engine died")

    trail = SlowTrail()
    trail.is_written.set()
    told = released(breaking(), trail, None, most_ahead=1)
    assert await anext(told) == EVENTS[1]
    with pytest.raises(ValueError, match="the engine died"):
        await anext(told)
    trail.failure = QueueFull("The trail cannot be written.")
    with pytest.raises(QueueFull):
        await anext(released(events(), trail, None, most_ahead=1))
