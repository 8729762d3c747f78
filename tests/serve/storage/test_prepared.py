"""Prepared statements: one text for each length of a list, the same rows as Core's."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, delete, insert, literal, select

from serve.storage.database import Database
from serve.storage.prepared import Prepared, among, padded
from serve.storage.schema import accounts
from tests.serve.storage.works import counted, names

INSERT = Prepared(lambda: insert(accounts))
ODD = ["it's", "%(names_0)s", "ü?", ":names", ""]


def found(*, asked: int):
    return select(accounts.c.account, literal("x")).where(among(accounts.c.account, "asked", asked))


def row(name: str) -> dict[str, object]:
    return {"account": name, "settled": 1, "part": 0, "leaked_at_ms": 2, "forget_at_ms": 3}


async def test_values_are_taken_as_they_are(database: Database) -> None:
    read = Prepared(found)

    def work(connection: Connection) -> list[list[str]]:
        INSERT.execute_all(connection, [row(name) for name in ODD])
        lists = [ODD, ODD[:2], [], ["it's", "it's"], ["none"]]
        return [
            sorted(name for name, _ in read.execute(connection, {"asked": some})) for some in lists
        ]

    assert await database.write(work) == [sorted(ODD), sorted(ODD[:2]), [], ["it's"], []]


async def test_a_text_is_made_once_for_each_length(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve.storage.prepared.MAX_TEXTS", 3)
    made = []

    def deleting(*, some: int):
        made.append(some)
        return delete(accounts).where(among(accounts.c.account, "some", some))

    statement = Prepared(deleting)

    def work(connection: Connection) -> int:
        INSERT.execute_all(connection, [row(str(number)) for number in range(9)])
        with counted(connection) as statements:
            for length in (1, 2, 1, 2, 4, 3, 3, 4):
                some = [str(number) for number in range(length)]
                statement.execute(connection, {"some": some})
        return len(statements)

    assert await database.write(work) == 8
    assert made == [1, 2, 4, 3, 4], "three are kept, then all are made anew"
    assert await database.read(names) == {"4", "5", "6", "7", "8"}


def test_lists_are_padded_to_powers_of_two() -> None:
    lengths = [len(padded(["a"] * length)) for length in (0, 1, 2, 3, 5, 64, 65)]
    assert lengths == [0, 1, 2, 4, 8, 64, 128]
    assert padded(["a", "b", "c"]) == ["a", "b", "c", "c"]
