"""The way of a request's events to its caller: recorded, then as the caller alone may see them.

::

    pipeline ── trail ── last stages ── caller

Where the trail takes its time, and a request has several choices, tells of its tokens besides or is
answered by what was kept, its events are recorded side by side: else each waits for all before it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import get_args

from serve.governance.audit.trail import Trail
from serve.pipeline.events import ChoiceEvent, Event
from serve.pipeline.stages import Stage, StagesOf

_OF_CHOICES = get_args(ChoiceEvent)


def released(
    events: AsyncGenerator[Event, None],
    trail: Trail,
    last_stages: StagesOf | None,
    *,
    most_ahead: int = 0,
) -> AsyncGenerator[Event, None]:
    """The events that the caller gets. ``events`` are for whoever opened them to close, behind it.

    Args:
        trail: of the request; no event is released before it took it.
        last_stages: that each choice's events pass behind it.
        most_ahead: so many events of each choice and kind are recorded at once.
    """
    if trail.wants_events:
        is_ahead = most_ahead > 0 and trail.waits
        events = _ahead(events, trail, most_ahead) if is_ahead else _recorded(events, trail)
    return events if last_stages is None else _passed(events, last_stages)


async def _recorded(
    events: AsyncGenerator[Event, None], trail: Trail
) -> AsyncGenerator[Event, None]:
    async for event in events:
        await trail.tell(event)
        yield event


@dataclass(frozen=True, slots=True)
class _Told:
    """An event that is being recorded; ``taken`` is done when it is about to be released."""

    event: Event
    recording: asyncio.Task[None]
    taken: asyncio.Future[None]


async def _ahead(
    events: AsyncGenerator[Event, None], trail: Trail, most: int
) -> AsyncGenerator[Event, None]:
    """Events in their order, each behind its record, recorded while earlier ones still are."""
    told: asyncio.Queue[_Told | None] = asyncio.Queue()
    waiting: set[asyncio.Task[None]] = set()

    async def read() -> None:
        taken: dict[object, deque[asyncio.Future[None]]] = {}
        try:
            async for event in events:
                place = type(event), getattr(event, "index", None), getattr(event, "prompt", None)
                of_place = taken.setdefault(place, deque())
                if len(of_place) == most:
                    await of_place.popleft()
                of_place.append(asyncio.get_running_loop().create_future())
                recording = asyncio.create_task(trail.tell(event))
                waiting.add(recording)
                told.put_nowait(_Told(event, recording, of_place[-1]))
        finally:
            told.put_nowait(None)

    reading = asyncio.create_task(read())
    try:
        while (each := await told.get()) is not None:
            await each.recording
            waiting.discard(each.recording)
            each.taken.set_result(None)
            yield each.event
        await reading  # raises what ended the events, if something did
    finally:
        reading.cancel()
        for recording in waiting:
            recording.cancel()
        # Not gather: it raises another CancelledError than the one that this was sent (merge.py).
        await asyncio.wait({reading, *waiting})
        for task in (reading, *waiting):
            if not task.cancelled():
                task.exception()  # told already, or of an event that nobody takes


async def _passed(
    events: AsyncGenerator[Event, None], last_stages: StagesOf
) -> AsyncGenerator[Event, None]:
    async with aclosing(events):  # what reads ahead has ended before whoever opened those does
        async for event in _staged(events, last_stages):
            yield event


async def _staged(
    events: AsyncGenerator[Event, None], last_stages: StagesOf
) -> AsyncGenerator[Event, None]:
    stages: dict[int, Sequence[Stage]] = {}
    async for event in events:
        if not isinstance(event, _OF_CHOICES):
            yield event
            continue
        own = stages.get(event.index)
        if own is None:
            own = stages[event.index] = last_stages(event.index)
        passed: Sequence[ChoiceEvent] = (event,)
        for stage in own:
            passed = stage.feed(passed)
        for told in passed:
            yield told
