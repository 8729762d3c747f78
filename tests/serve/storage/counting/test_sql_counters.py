"""Counters in SQL pass the contract on both engines, and settle with rows of others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Connection, delete, func, insert, select

from serve.storage import schema
from serve.storage.counting import account_rows
from serve.storage.counting.account_rules import TOMBSTONE_MS
from serve.storage.counting.counters import Decision
from serve.storage.counting.sql_counters import (
    Reserve,
    Settle,
    SqlCounters,
    balances_in,
    done_in,
    settle_in,
)
from serve.storage.database import Database, open_database
from serve.storage.places import Patience, PostgresqlServer, SqliteFile
from tests.contracts.counters import (
    HUGE,
    LEASE_MS,
    MINUTE_MS,
    CountersContract,
    Harness,
    budget,
    rate,
)
from tests.serve.storage.works import counted
from tests.servers.fixtures import PLACES


@dataclass
class SqlHarness(Harness):
    database: Database
    now_ms: int = 10**12

    def __post_init__(self) -> None:
        self.counters = SqlCounters(self.database)

    async def move_clock(self, ms: int) -> None:
        self.now_ms += ms


@pytest.fixture(scope="module", params=PLACES)
def opened(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[Database]:
    """One database of each kind for all tests here: making one takes longer than they do."""
    place: SqliteFile | PostgresqlServer
    if request.param == "sqlite":
        place = SqliteFile(path=tmp_path_factory.mktemp("state") / "intramural.db")
    else:
        url = request.getfixturevalue("postgres").make_database()
        patience = Patience(answer_s=5.0, connect_s=5.0, turn_s=10.0, queue_s=60.0)
        place = PostgresqlServer(conninfo=url, patience=patience)
    database = asyncio.run(open_database(place))
    yield database
    asyncio.run(database.close())


@pytest.fixture
async def database(opened: Database) -> Database:
    """An empty one."""
    for table in (schema.accounts, schema.reservations, schema.api_keys):
        await opened.write(lambda connection, table=table: connection.execute(delete(table)))
    return opened


@pytest.fixture
def harness(database: Database, monkeypatch: pytest.MonkeyPatch) -> SqlHarness:
    harness = SqlHarness(database)
    monkeypatch.setattr(account_rows, "now_ms", lambda _connection: harness.now_ms)
    return harness


def num_rows(connection: Connection) -> tuple[int, int]:
    """Accounts, but for the one with no name, and rows of reservations."""
    tables = (schema.accounts, schema.reservations)
    counts = [connection.execute(select(func.count()).select_from(each)) for each in tables]
    num_accounts, num_reservations = (count.scalar_one() for count in counts)
    return num_accounts - 1, num_reservations


class TestSqlCounters(CountersContract):
    """On SQLite and on PostgreSQL."""

    async def test_what_has_run_out_is_swept(self, harness: SqlHarness, monkeypatch) -> None:
        monkeypatch.setattr(account_rows, "MAX_SWEPT", 10)
        await harness.move_clock(account_rows.SWEEP_MS)
        counters = harness.counters
        for number in range(30):
            claims = [rate(1, account=f"a{number}")]
            await counters.reserve(f"r{number}", claims, lease_ms=LEASE_MS)
            await counters.settle(f"s{number}", claims)
        assert await harness.database.read(num_rows) == (30, 60)
        await harness.move_clock(2 * MINUTE_MS)
        for _ in range(4):  # the fourth finds nothing more
            await counters.extend([], lease_ms=LEASE_MS)
        assert await harness.database.read(num_rows) == (0, 30)
        await harness.move_clock(TOMBSTONE_MS)
        for _ in range(4):
            await counters.extend([], lease_ms=LEASE_MS)
        assert await harness.database.read(num_rows) == (0, 0)

    async def test_a_settled_reservation_is_one_row(self, harness: SqlHarness) -> None:
        claims = [budget(1, account=f"a{number}") for number in range(5)]
        await harness.counters.reserve("a", claims, lease_ms=LEASE_MS)
        assert await harness.database.read(num_rows) == (0, 5)
        await harness.counters.settle("a", claims)
        assert await harness.database.read(num_rows) == (5, 1)

    async def test_statements_do_not_grow_with_claims_nor_with_requests(
        self, harness: SqlHarness
    ) -> None:
        await harness.counters.reserve("first", [], lease_ms=LEASE_MS)
        reserved = [
            Reserve(
                f"r{number}", [budget(1, account=f"a{number + i}") for i in range(20)], LEASE_MS
            )
            for number in range(64)
        ]
        settled = [Settle(each.reservation_id, each.claims) for each in reserved]
        for operations, most in ((reserved, 4), (settled, 5)):
            for some in (operations[:1], operations):

                def work(connection: Connection, some: Sequence[Any] = some) -> int:
                    with counted(connection) as statements:
                        done_in(connection, some)
                    return len(statements)

                assert await harness.database.write(work) <= most

    async def test_what_is_done_together_is_done_one_after_the_other(
        self, harness: SqlHarness
    ) -> None:
        one, other = budget(60), budget(45)
        operations = [
            Reserve("a", [one], LEASE_MS),
            Reserve("b", [one], LEASE_MS),
            Settle("a", [other]),
            Settle("a", [other]),
            Reserve("b", [other], LEASE_MS),
            Reserve("a", [one], LEASE_MS),
        ]
        told = await harness.database.write(lambda c: done_in(c, operations))
        assert [each if isinstance(each, bool) else each.refused for each in told] == [
            None,
            0,
            True,
            False,
            None,
            None,
        ]
        assert await self.held(harness.counters, budget(0)) == (45, 45)
        assert await harness.database.read(num_rows) == (1, 2)

    async def test_one_that_cannot_be_done_holds_up_no_other(self, harness: SqlHarness) -> None:
        """Of 60 at once, some are refused and one is out of range."""
        claims = [budget(2 + (number == 7) * HUGE * 2) for number in range(60)]
        decisions = await asyncio.gather(
            *(
                harness.counters.reserve(f"r{number}", [claim], lease_ms=LEASE_MS)
                for number, claim in enumerate(claims)
            ),
            return_exceptions=True,
        )
        assert isinstance(decisions[7], ValueError)
        refused = [each.refused for each in decisions if isinstance(each, Decision)]
        assert refused.count(None) == 50
        assert await self.held(harness.counters, budget(0)) == (0, 100)

    async def test_it_settles_with_rows_of_others_or_not_at_all(self, harness: SqlHarness) -> None:
        await harness.counters.reserve("a", [budget(9)], lease_ms=LEASE_MS)

        def work(connection: Connection, *, fails: bool) -> bool:
            is_first = settle_in(connection, "a", [budget(7)])
            values = {"key_id": "k", "tenant": "t", "owner": "o", "entry": "", "changed_at_ms": 1}
            if is_first:
                connection.execute(insert(schema.api_keys).values(values))
            if fails:
                raise RuntimeError("after both")
            return is_first

        with pytest.raises(RuntimeError):
            await harness.database.write(lambda connection: work(connection, fails=True))
        assert await self.held(harness.counters, budget(0)) == (0, 9)
        told = await asyncio.gather(
            *(harness.database.write(lambda connection: work(connection, fails=False)),) * 1,
            harness.counters.settle("a", [budget(7)]),
        )
        assert told == [True, False]
        assert await self.held(harness.counters, budget(0)) == (7, 0)

    async def test_balances_write_nothing(self, harness: SqlHarness) -> None:
        def work(connection: Connection) -> int:
            balances_in(connection, [budget(0)])
            return num_rows(connection)[0]

        assert await harness.database.write(work) == -1


async def test_leases_end_by_the_database_s_own_clock(database: Database) -> None:
    counters = SqlCounters(database)
    await counters.reserve("a", [budget(100)], lease_ms=50)
    for _ in range(1000):
        if (await counters.reserve("b", [budget(100)], lease_ms=60_000)).refused is None:
            break
        await asyncio.sleep(0.01)
    assert (await counters.balances([budget(0)]))[0].reserved == 100
    await counters.close()
    assert (await counters.balances([budget(0)]))[0].reserved == 100
