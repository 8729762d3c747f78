"""A second try for answers that a check rejects, within the same request.

::

    first run ── each choice held to its end ──┬── accepted ──▶ told
                                               └── rejected ── second run ──▶ told, or an error
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Final, get_args

from serve.governance.screening import AnswerCheck
from serve.pipeline.events import (
    ChoiceEvent,
    Event,
    Finished,
    GenerateRequest,
    Started,
    TextDelta,
)
from serve.timeline import Timeline

TRIES: Final = 2
"""Runs that a request with a check may come to, and that it reserves for."""
_OF_CHOICES = get_args(ChoiceEvent)
_CHECKED: Final = ("stop", "length")
"""Ends of answers that say something; calls of tools, errors and what a filter cut are passed."""

Held = dict[int, list[ChoiceEvent]]


def second_request(first: GenerateRequest) -> GenerateRequest:
    """The request of the second run: the next seed, where there is one."""
    seed = first.sampling.seed
    if seed is not None:
        seed = seed - 1 if seed == 2**63 - 1 else seed + 1
    return replace(
        first, request_id=f"{first.request_id}-2", sampling=replace(first.sampling, seed=seed)
    )


async def checked(
    events: AsyncGenerator[Event, None],
    check: AnswerCheck,
    again: Callable[[], AsyncGenerator[Event, None]],
    timeline: Timeline,
) -> AsyncGenerator[Event, None]:
    """The events of choices that the check accepts, each when it is over.

    Args:
        events: of the first run, behind ``Started``.
        again: the second run, from ``Started`` on; both runs count into the timeline.
    """
    rejected: set[int] = set()
    held: Held = {}
    async for event in events:
        if not isinstance(event, _OF_CHOICES):
            yield event
            continue
        held.setdefault(event.index, []).append(event)
        if not isinstance(event, Finished):
            continue
        own = held.pop(event.index)
        if _is_accepted(event, own, check):
            for told in own:
                yield told
        else:
            check.retried()
            rejected.add(event.index)
    if not rejected:
        return
    prompt_tokens = timeline.usage.prompt_tokens
    async with aclosing(again()) as second:
        async for event in second:
            if isinstance(event, Started):
                timeline.usage.prompt_tokens += prompt_tokens
            if not isinstance(event, _OF_CHOICES) or event.index not in rejected:
                continue
            held.setdefault(event.index, []).append(event)
            if isinstance(event, Finished):
                own = held.pop(event.index)
                for told in _second(event, own, check, timeline):
                    yield told


def _second(
    end: Finished, events: list[ChoiceEvent], check: AnswerCheck, timeline: Timeline
) -> list[ChoiceEvent]:
    """The events that are told of a choice's second try."""
    if _is_accepted(end, events, check):
        return events
    error = check.rejected()
    if error is None:
        return events
    timeline.finish_reason, timeline.error_code = "error", error.code
    return [replace(end, reason="error", error=error)]


def _is_accepted(end: Finished, events: list[ChoiceEvent], check: AnswerCheck) -> bool:
    if end.reason not in _CHECKED:
        return True
    texts = (e.text for e in events if isinstance(e, TextDelta) and e.channel == "content")
    return check.accepts("".join(texts))
