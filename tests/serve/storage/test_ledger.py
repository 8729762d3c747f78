"""The ledger: one row a request, with the settlement of its budgets or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, select

from serve.storage import schema
from serve.storage.counting import account_rows
from serve.storage.counting.counters import Balance, Claim
from serve.storage.counting.sql_counters import SqlCounters
from serve.storage.database import Database
from serve.storage.ledger import Ledger, LedgerRow, Settlement
from tests.serve.storage.works import counted

ROW = LedgerRow(
    request_id="req-1",
    finished_at_ms=5,
    day="2026-11-29",
    tenant="tenant",
    owner="ann",
    key_id="key",
    model="demo",
    route="/v1/completions",
    outcome="stop",
    prompt_tokens=3,
    cached_tokens=1,
    completion_tokens=4,
    reasoning_tokens=2,
    cost_micros=5,
    currency="EUR",
)
CLAIM = Claim(account="a/2026-11-29", amount=7, limit=100, keep_ms=60_000)


async def test_it_is_entered_once_with_its_budgets(database: Database) -> None:
    counters, told = SqlCounters(database), list[tuple[str, int]]()

    def also(_: Connection, settlement: Settlement, balances: Sequence[Balance]) -> None:
        told.append((settlement.row.request_id, balances[0].settled))

    ledger = Ledger(database, [also])
    await counters.reserve("req-1", [replace(CLAIM, amount=50)], lease_ms=60_000)
    for _ in range(2):
        await ledger.enter([Settlement(claims=(CLAIM,), row=ROW)])
    (balance,) = await counters.balances([CLAIM])
    assert (balance.settled, balance.reserved) == (7, 0)
    rows = await database.read(lambda c: c.execute(select(schema.ledger)).all())
    assert [tuple(row) for row in rows] == [tuple(getattr(ROW, n) for n in ROW.__slots__)]
    assert told == [("req-1", 7)]


async def test_a_batch_is_entered_whole_or_not_at_all(database: Database) -> None:
    def fails(_: Connection, settlement: Settlement, __: Sequence[Balance]) -> None:
        if settlement.row.request_id == "req-2":
            raise ValueError

    ledger = Ledger(database, [fails])
    batch = [
        Settlement(claims=(CLAIM,), row=replace(ROW, request_id=f"req-{number}"))
        for number in range(1, 3)
    ]
    with pytest.raises(ValueError, match=r"^$"):
        await ledger.enter(batch)
    assert await database.read(lambda c: c.execute(select(schema.ledger)).all()) == []
    (balance,) = await SqlCounters(database).balances([CLAIM])
    assert balance.settled == 0


async def test_what_comes_together_is_entered_by_as_many_statements_as_one(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several calls, one of whose requests is told twice and one of whose is there already."""
    monkeypatch.setattr(account_rows, "SWEEP_MS", 10**9)
    ledger, told = Ledger(database), list[int]()
    numbers = [*range(60), 59]
    settlements = [
        Settlement(claims=(CLAIM,), row=replace(ROW, request_id=f"req-{number}"))
        for number in numbers
    ]
    await ledger.enter(settlements[:1])
    for group in ([[settlements[1]]], [settlements[:20], settlements[20:]]):

        def work(connection: Connection, group: Sequence[Any] = group) -> int:
            with counted(connection) as statements:
                ledger._enter(connection, group)
            return len(statements)

        told.append(await database.write(work))
    assert max(told) <= 7, told
    (balance,) = await SqlCounters(database).balances([CLAIM])
    assert balance.settled == 60 * CLAIM.amount
    query = select(schema.ledger.c.request_id)
    ids = await database.read(lambda c: c.execute(query).scalars().all())
    assert sorted(ids) == sorted(f"req-{number}" for number in range(60))


async def test_texts_are_cut_to_their_columns(database: Database) -> None:
    long = replace(ROW, owner="ü" * 500, model="m\0m", outcome="x" * 99)
    await Ledger(database).enter([Settlement(claims=(), row=long)])
    (row,) = await database.read(lambda c: c.execute(select(schema.ledger)).all())
    assert (len(row.owner), row.model, len(row.outcome)) == (128, "mm", 64)


def test_it_is_the_same_after_json() -> None:
    settlement = Settlement(claims=(CLAIM,), row=ROW)
    assert Settlement.from_json(settlement.as_json()) == settlement
