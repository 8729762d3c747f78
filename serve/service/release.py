"""The way of a request's events to its caller: recorded, then as the caller alone may see them.

::

    pipeline ── trail ── last stages ── caller
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import get_args

from serve.governance.audit.trail import Trail
from serve.pipeline.events import ChoiceEvent, Event
from serve.pipeline.stages import Stage, StagesOf

_OF_CHOICES = get_args(ChoiceEvent)


def released(
    events: AsyncGenerator[Event, None], trail: Trail, last_stages: StagesOf | None
) -> AsyncGenerator[Event, None]:
    """The events that the caller gets. Closing them leaves ``events`` to whoever opened those.

    Args:
        trail: of the request; no event is released before it took it.
        last_stages: that each choice's events pass behind it.
    """
    if trail.wants_events:
        events = _recorded(events, trail)
    return events if last_stages is None else _passed(events, last_stages)


async def _recorded(
    events: AsyncGenerator[Event, None], trail: Trail
) -> AsyncGenerator[Event, None]:
    async for event in events:
        await trail.tell(event)
        yield event


async def _passed(
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
