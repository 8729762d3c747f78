"""The turnstile: few inside, some wait in order, the rest are told to come back."""

from __future__ import annotations

import asyncio

import pytest

from serve.api.http.turnstile import Turnstile
from serve.errors import QueueFull


async def test_few_are_inside_and_some_wait_in_order() -> None:
    turnstile = Turnstile(max_running=2, max_waiting=3)
    inside: list[int] = []
    order: list[int] = []
    most = 0

    async def visit(number: int) -> None:
        nonlocal most
        async with turnstile.passed():
            inside.append(number)
            order.append(number)
            most = max(most, len(inside))
            await asyncio.sleep(0)
            inside.remove(number)

    answers = await asyncio.gather(*map(visit, range(7)), return_exceptions=True)
    assert (order, most) == ([0, 1, 2, 3, 4], 2)
    refused = [answer for answer in answers if isinstance(answer, QueueFull)]
    assert len(refused) == 2
    assert "5 requests" in refused[0].message
    assert refused[0].retry_after_s >= 1
    await asyncio.gather(*map(visit, range(5)))  # all places are free again


@pytest.mark.parametrize("is_inside", [True, False])
async def test_who_leaves_early_leaves_no_place_taken(*, is_inside: bool) -> None:
    turnstile = Turnstile(max_running=1, max_waiting=1)
    gate = asyncio.Event()

    async def visit() -> None:
        async with turnstile.passed():
            await gate.wait()

    tasks = [asyncio.create_task(visit()) for _ in range(2)]
    await asyncio.sleep(0)
    tasks[0 if is_inside else 1].cancel()
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(visit()))
    gate.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(end, asyncio.CancelledError) for end in ended) == 1
    assert sum(end is None for end in ended) == 2
