"""A PostgreSQL server that is cut, slow or half-open: told in time, left alone, and found again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from serve.storage.counting.counters import StoreUnavailable
from serve.storage.database import Database
from serve.storage.engines import engine_of, opened
from serve.storage.places import Patience, PostgresqlServer
from tests.fault_proxy import FaultProxy
from tests.serve.storage.works import inserting, names
from tests.servers.fixtures import needs_postgres
from tests.servers.postgres import Postgres, running_postgres

pytestmark = needs_postgres

QUICK = Patience(answer_s=0.4, connect_s=0.4, turn_s=0.4)
HANG_S = 30.0
"""Seconds after which a test has hung."""


@pytest.fixture
def proxy(postgres: Postgres) -> Iterator[FaultProxy]:
    with FaultProxy(postgres.socket) as proxy:
        yield proxy


@pytest.fixture
async def behind(proxy: FaultProxy, migrated_postgres: str) -> AsyncIterator[Database]:
    """A database whose server is reached through the proxy."""
    name = migrated_postgres.partition("?")[0].rpartition("/")[2]
    url = f"postgresql://postgres@127.0.0.1:{proxy.port}/{name}"
    database = Database(PostgresqlServer(conninfo=url, patience=QUICK))
    await eventually(database, "first")
    yield database
    proxy.cut()  # or a connection that is held would hold the end, too
    await database.close()


async def fail(database: Database, name: str) -> None:
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(database.write(inserting(name)), HANG_S)


async def eventually(database: Database, name: str) -> None:
    """Write as soon as the database is there again; a row of an earlier try is as good."""

    def work(connection):
        if name not in names(connection):
            inserting(name)(connection)

    for _ in range(300):
        try:
            await database.write(work)
        except StoreUnavailable:
            await asyncio.sleep(0.05)
        else:
            return
    pytest.fail("the database was not found again")


async def test_a_connection_that_was_lost_meanwhile_costs_nobody_anything(proxy, behind):
    """As when the server was started anew: the works run again on another connection."""
    accepted = proxy.num_accepted
    proxy.reset()
    assert await behind.write(inserting("second")) == "second"
    assert proxy.num_accepted == accepted + 1
    assert await behind.read(names) == {"first", "second"}


async def test_a_server_that_is_away_is_told_left_alone_and_found_again(proxy, behind):
    proxy.cut()
    for number in range(5):
        assert behind.is_available
        await fail(behind, f"lost {number}")
    assert not behind.is_available
    accepted = proxy.num_accepted
    proxy.pass_on()
    behind._circuits[0]._next_trial = time.monotonic() + 3600
    await fail(behind, "refused at once")
    assert proxy.num_accepted == accepted
    behind._circuits[0]._next_trial = 0.0
    await eventually(behind, "second")
    assert behind.is_available
    assert await behind.read(names) == {"first", "second"}


async def test_a_server_that_is_slow_is_given_up(proxy, behind):
    proxy.slow(3.0)
    await fail(behind, "late")
    proxy.pass_on()
    proxy.reset()
    await eventually(behind, "second")
    assert {"first", "second"} <= await behind.read(names)


async def test_a_half_open_connection_is_given_up(proxy, behind):
    proxy.hold()
    many = [behind.write(inserting(f"lost {number}")) for number in range(100)]
    told = await asyncio.wait_for(asyncio.gather(*many, return_exceptions=True), HANG_S)
    assert {type(each) for each in told} == {StoreUnavailable}
    assert not behind.is_available
    await fail(behind, "lost")
    proxy.cut()
    proxy.pass_on()
    await eventually(behind, "second")
    assert await behind.read(names) == {"first", "second"}


async def test_a_process_that_stops_while_it_has_the_turn_loses_it(behind, migrated_postgres):
    stopped = PostgresqlServer(
        conninfo=migrated_postgres, patience=replace(QUICK, idle_s=0.05, answer_s=5.0, turn_s=5.0)
    )
    engine = engine_of(stopped)
    connection = engine.connect()
    connection.begin()
    await eventually(behind, "second")
    connection.invalidate()
    connection.close()
    engine.dispose()


async def test_a_turn_of_others_is_waited_for(migrated_postgres):
    """Longer than for an answer: the server answers, if others first."""
    short = Patience(answer_s=0.25, connect_s=5.0, turn_s=20.0, idle_s=20.0)
    place = PostgresqlServer(conninfo=migrated_postgres, patience=short)
    database = Database(place)
    await database.write(inserting("first"))
    with opened(place) as engine, engine.connect() as connection:
        turn = connection.begin()
        writing = asyncio.create_task(database.write(inserting("second")))
        await asyncio.sleep(0.7)
        assert not writing.done()
        turn.rollback()
    assert await asyncio.wait_for(writing, HANG_S) == "second"
    await database.close()


async def write_on(database: Database, prefix: str, ends: asyncio.Event, done: set[str]) -> None:
    """Write rows until told to end; those whose writing was acknowledged are put in ``done``."""
    number = 0
    while not ends.is_set():
        number += 1
        try:
            done.add(await database.write(inserting(f"{prefix} {number}")))
        except StoreUnavailable:
            await asyncio.sleep(0.01)


async def reached(done: set[str], number: int) -> None:
    """Return once so many rows were acknowledged."""
    for _ in range(3000):
        if len(done) >= number:
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"{len(done)} rows were acknowledged, not {number}")


async def test_what_was_acknowledged_is_there_after_many_cuts(proxy, behind, is_proving):
    ends, done = asyncio.Event(), set[str]()
    writing = [asyncio.create_task(write_on(behind, f"{n}", ends, done)) for n in range(8)]
    for number in range(50 if is_proving else 5):
        await reached(done, 5 * number + 1)
        proxy.reset()
    ends.set()
    await asyncio.gather(*writing)
    await eventually(behind, "last")
    assert done <= await behind.read(names)


async def test_what_was_acknowledged_outlasts_a_server_that_is_killed(is_proving):
    if not is_proving:
        pytest.skip("starts a server that syncs: seconds; run by `make prove`")
    with running_postgres(is_durable=True) as server:
        from serve.storage.database import open_database

        place = PostgresqlServer(conninfo=server.make_database())
        database = await open_database(place)
        done = set[str]()
        for number in range(5):
            ends = asyncio.Event()
            writing = asyncio.create_task(write_on(database, f"{number}", ends, done))
            await reached(done, 30 * number + 30)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
            ends.set()
            await writing
        await eventually(database, "last")
        assert done <= await database.read(names)
        await database.close()


async def test_failures_are_told_within_the_bound(proxy, behind, is_proving):
    if not is_proving:
        pytest.skip("measures time; run by `make prove`")
    bounds = {proxy.cut: 0.4, proxy.hold: 2 * 0.4, lambda: proxy.slow(3.0): 2 * 0.4}
    for fault, bound_s in bounds.items():
        fault()
        for _ in range(5):
            before = time.monotonic()
            await fail(behind, "lost")
            assert time.monotonic() - before < bound_s + 0.3
        proxy.cut()
        proxy.pass_on()
        await eventually(behind, "again")
