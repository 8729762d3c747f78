"""Events reach their caller recorded, and then as only the caller sees them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

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
