"""Works on a database: rows of one table, named and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event, insert, select

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


@contextmanager
def counted(target: Connection | Engine) -> Iterator[list[str]]:
    """The statements that are executed while the block is open."""
    statements: list[str] = []

    def note(*args: Any) -> None:
        statements.append(args[2])

    event.listen(target, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(target, "before_cursor_execute", note)
