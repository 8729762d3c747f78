"""A block that runs out of time is left whole, and says so; nothing else is taken for that."""

from __future__ import annotations

import asyncio

import pytest

from serve.errors import DeadlineExceeded
from serve.service.deadline import within


async def test_what_stands_in_the_block_is_left_before_it_is_told() -> None:
    left: list[bool] = []
    with pytest.raises(DeadlineExceeded) as told:
        await _for_ever(0.0, left)
    assert left
    assert (told.value.status, told.value.code) == (504, "deadline_exceeded")
    assert told.value.headers == {"x-should-retry": "false"}


async def test_without_a_bound_and_within_it_nothing_happens() -> None:
    for seconds in (None, 1e6):
        async with within(seconds):
            await asyncio.sleep(0)


async def test_another_time_out_and_a_cancellation_stay_what_they_are() -> None:
    with pytest.raises(TimeoutError):
        async with within(1e6):
            raise TimeoutError
    task = asyncio.create_task(_for_ever(1e6, []))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _for_ever(seconds: float, left: list[bool]) -> None:
    async with within(seconds):
        try:
            await asyncio.Event().wait()
        finally:
            left.append(True)
