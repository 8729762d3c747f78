"""The database on both of its engines: what was acknowledged is there, and what failed is not."""

from __future__ import annotations

import asyncio

import pytest

from serve.storage.clock import now_ms
from serve.storage.counters import StoreUnavailable
from tests.serve.storage.works import inserting, names


async def test_a_result_is_told_and_kept(database):
    assert await database.write(inserting("a")) == "a"
    assert await database.read(names) == {"a"}


async def test_a_work_that_raises_is_rolled_back_alone(database):
    works = [inserting(str(number), fails=number % 3 == 0) for number in range(30)]
    told = await asyncio.gather(*map(database.write, works), return_exceptions=True)
    assert sum(isinstance(each, ValueError) for each in told) == 10
    assert len(await database.read(names)) == 20


async def test_reads_write_nothing(database):
    with pytest.raises(StoreUnavailable):
        await database.read(inserting("a"))
    assert await database.read(names) == set()


async def test_its_clock_is_in_milliseconds(database):
    first, second = await database.write(now_ms), await database.read(now_ms)
    assert 1.7e12 < first <= second < first + 60_000
