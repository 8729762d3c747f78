"""The database on both of its engines: what was acknowledged is there, and what failed is not."""

from __future__ import annotations

import asyncio
import threading

import pytest
from sqlalchemy import text

from serve.storage.clock import now_ms
from serve.storage.counting.counters import StoreUnavailable
from serve.storage.database import Database
from serve.storage.places import PostgresqlServer
from tests.serve.storage.works import inserting, names
from tests.servers.fixtures import needs_postgres


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


async def test_too_many_calls_at_once_are_no_outage(database):
    lane, may_end = database._lanes[0], threading.Event()
    lane._max_waiting = 1
    works = [lambda _: may_end.wait(30)] + [inserting(str(number)) for number in range(20)]
    calls = [asyncio.create_task(database.write(work)) for work in works]
    await asyncio.sleep(0)
    may_end.set()
    told = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(each, StoreUnavailable) for each in told) >= 10
    assert database.is_available


async def test_a_report_holds_up_no_other_read(database):
    may_end = threading.Event()

    def long(connection) -> set[str]:
        assert may_end.wait(30)
        return names(connection)

    await database.write(inserting("a"))
    reporting = asyncio.create_task(database.report(long))
    await asyncio.sleep(0)
    assert await database.read(names) == {"a"}
    await database.write(inserting("b"))
    may_end.set()
    assert await reporting <= {"a", "b"}


@needs_postgres
async def test_a_report_may_take_longer_than_a_read(migrated_postgres):
    def long(connection) -> None:
        connection.execute(text("SELECT pg_sleep(0.3)"))

    database = Database(PostgresqlServer(conninfo=migrated_postgres))
    await database.report(long)
    with pytest.raises(StoreUnavailable):
        await database.read(long)
    await database.close()


async def test_its_clock_is_in_milliseconds(database):
    first, second = await database.write(now_ms), await database.read(now_ms)
    assert 1.7e12 < first <= second < first + 60_000
