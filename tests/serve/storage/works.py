"""Works on a database: rows of one table, named and counted."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, insert, select

from serve.storage import schema


def inserting(name: str, *, fails: bool = False) -> Callable[[Connection], str]:
    """A work that adds a row, and may raise ValueError after it."""

    def work(connection: Connection) -> str:
        values = {"account": name, "settled": 1, "leaked_at_ms": 0, "forget_at_ms": 0}
        connection.execute(insert(schema.accounts).values(values))
        if fails:
            raise ValueError(name)
        return name

    return work


def names(connection: Connection) -> set[str]:
    """The names of all rows."""
    return set(connection.execute(select(schema.accounts.c.account)).scalars())
