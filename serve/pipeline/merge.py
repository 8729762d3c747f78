"""Choices of one request side by side, as many at once as it holds slots for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from serve.pipeline.events import Event

QUEUED_EVENTS = 64
"""Bound of events between the choices of one request and its reader."""

Choices = Callable[[int], AsyncGenerator[Event, None]]
"""The events of the choice of that number."""


async def merged(choices: Choices, num_choices: int, width: int) -> AsyncGenerator[Event, None]:
    """Events of all choices as they come. Closing it closes them all.

    Args:
        choices: each is asked for when its turn comes, in order.
        width: choices that run at once, at least 1; the others follow as these end.
    """
    queue: asyncio.Queue[Event | None] = asyncio.Queue(QUEUED_EVENTS)
    left = iter(range(num_choices))

    async def pump() -> None:
        for index in left:
            async with aclosing(choices(index)) as events:
                async for event in events:
                    await queue.put(event)
        await queue.put(None)

    tasks = [asyncio.create_task(pump()) for _ in range(min(width, num_choices))]
    try:
        num_open = len(tasks)
        while num_open:
            event = await queue.get()
            if event is None:
                num_open -= 1
            else:
                yield event
    finally:
        for task in tasks:
            task.cancel()
        # Not gather: if this is cancelled, too, it would raise another CancelledError than the one
        # that it was sent, and who sent it (anyio, for one) would not know it again.
        await asyncio.wait(tasks)
