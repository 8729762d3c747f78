"""Rows of the counters: what a sweep deletes, and what it leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, StaticPool, Table, create_engine, func, select

from serve.storage import schema
from serve.storage.counting import account_rows
from serve.storage.counting.account_book import Book, Held
from serve.storage.counting.account_rules import Level
from serve.storage.counting.counters import Claim
from serve.storage.counting.steady_time import SteadyTime


@pytest.fixture
def connection() -> Iterator[Connection]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    schema.metadata.create_all(engine)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def at(now_ms: int, sweep_at_ms: int | None, **more: Any) -> Book:
    return Book(SteadyTime(now_ms), sweep_at_ms, **more)


def sweep_at(connection: Connection) -> int:
    return account_rows.read(connection, []).sweep_at_ms or 0


def test_a_sweep_is_due_once_a_second(connection: Connection) -> None:
    levels = {"a": Level(1, 0, 65_000)}
    account_rows.write(connection, at(65_000, None, levels=levels, changed={"a": 65_001}))
    assert sweep_at(connection) == 66_000
    account_rows.write(connection, at(119_999, 120_000))
    assert count(connection, schema.accounts) == 2
    account_rows.write(connection, at(120_000, 120_000))
    assert count(connection, schema.accounts) == 1, "the one with no name stays"
    assert sweep_at(connection) == 121_000


def test_a_sweep_deletes_a_bounded_number_and_then_the_next(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_rows, "MAX_SWEPT", 10)
    new = {f"r{number}": [Held("a", 1, 100 + number)] for number in range(25)}
    account_rows.write(connection, at(99, 1_000, new=new))
    left = []
    for _ in range(3):
        account_rows.write(connection, at(1_000, 1_000))
        left.append(count(connection, schema.reservations))
    assert left == [15, 5, 0]
    assert sweep_at(connection) == 1_000 + account_rows.SWEEP_MS


def test_a_reservation_is_read_as_it_was_written(connection: Connection) -> None:
    rows = {"a": [Held("x", 1, 100), Held("y", 2, 100)], "b": [Held("", 0, 7, is_settled=True)]}
    account_rows.write(connection, at(5, 1_000, new=rows))
    assert account_rows.read(connection, [], ["a", "b", "c"]).held == rows
    new = {"a": [Held("x", 3, 50)]}
    account_rows.write(connection, at(6, 1_000, gone={"a", "b"}, new=new))
    assert account_rows.read(connection, [], ["a", "b", "c"]).held == new


def test_a_level_is_read_as_it_was_written(connection: Connection) -> None:
    level = Level(7, 59_999, 5_000)
    account_rows.write(connection, at(5_000, None, levels={"a": level}, changed={"a": 10**12}))
    claim = Claim(account="a", amount=0, limit=1, leak_ms=60_000, keep_ms=1)
    assert account_rows.read(connection, [claim]).levels == {"a": level}
    assert account_rows.read(connection, [claim]).reserved == {"a": 0}
