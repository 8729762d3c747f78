"""Choices run side by side, as many as there is width for, in order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from serve.pipeline.events import Event, Finished, TextDelta
from serve.pipeline.merge import merged


class Running:
    """Choices that say one word each, and how many of them are open."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.begun: list[int] = []

    async def choice(self, index: int) -> AsyncGenerator[Event, None]:
        self.begun.append(index)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            yield TextDelta(index=index, text="x")
            await asyncio.sleep(0)
            yield Finished(index=index, reason="stop")
        finally:
            self.now -= 1


@pytest.mark.parametrize(("num_choices", "width"), [(1, 1), (5, 1), (5, 2), (3, 8), (300, 7)])
async def test_never_more_at_once_than_the_width(num_choices: int, width: int) -> None:
    running = Running()
    events = [event async for event in merged(running.choice, num_choices, width)]
    assert running.most == min(width, num_choices)
    assert running.begun == list(range(num_choices))
    ended = [event.index for event in events if isinstance(event, Finished)]
    assert sorted(ended) == list(range(num_choices))
    assert running.now == 0


async def test_who_leaves_closes_those_that_run_and_begins_no_other() -> None:
    running = Running()
    async with aclosing(merged(running.choice, 100, 3)) as events:
        await anext(events)
    assert running.now == 0
    assert len(running.begun) <= 6
