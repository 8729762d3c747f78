"""Rows of accounts and reservations: what the counters in SQL read and write, by statements.

All times are those of the counters (steady_time.py), whose state is the account with no name::

    account   settled                  leaked_at_ms        forget_at_ms
    ''        ms ahead of the clock    the last moment     when to sweep next
    others    what was settled         when it was that    when to forget it

A settled reservation is one row, a tombstone, of the account with no name: sums over an account
meet those alone that run. One that runs and claims nothing has such a row too.

What many ask at once is read into one book (account_book.py) and written from it, in as many
statements as what one asks: four, and two or three.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from serve.storage.clock import now_ms
from serve.storage.counting.account_book import NAMELESS, Book, Held
from serve.storage.counting.account_rules import Level
from serve.storage.counting.counters import Claim
from serve.storage.counting.steady_time import SteadyTime
from serve.storage.schema import accounts, reservations

SWEEP_MS = 1_000
"""Milliseconds between two sweeps; a full one is followed by the next call's."""
FORGET_STEP_MS = 60_000
"""Accounts are forgotten at full minutes: an indexed column that seldom changes costs less."""
MAX_SWEPT = 500
"""Rows of each table that one sweep deletes."""

_LEVELS = select(
    accounts.c.account,
    accounts.c.settled,
    accounts.c.part,
    accounts.c.leaked_at_ms,
    accounts.c.forget_at_ms,
).where(accounts.c.account.in_(bindparam("names", expanding=True)))
_RESERVED = (
    select(reservations.c.account, func.sum(reservations.c.amount))
    .where(
        reservations.c.account.in_(bindparam("names", expanding=True)),
        reservations.c.ends_at_ms > bindparam("now_ms"),
    )
    .group_by(reservations.c.account)
)
_HELD = select(
    reservations.c.reservation_id,
    reservations.c.account,
    reservations.c.amount,
    reservations.c.ends_at_ms,
    reservations.c.is_settled,
).where(reservations.c.reservation_id.in_(bindparam("ids", expanding=True)))
_DELETE = delete(reservations).where(
    reservations.c.reservation_id.in_(bindparam("ids", expanding=True))
)
_INSERT = insert(reservations)
_EXTEND = (
    update(reservations)
    .where(
        reservations.c.reservation_id.in_(bindparam("ids", expanding=True)),
        reservations.c.ends_at_ms > bindparam("now_ms"),
        reservations.c.is_settled.is_(False),
    )
    .values(ends_at_ms=bindparam("new_end_ms"))
)


def read(connection: Connection, claims: Iterable[Claim], ids: Sequence[str] = ()) -> Book:
    """The claims' accounts, these ids' reservations, and the time: four statements at most."""
    names = list({claim.account: None for claim in claims})
    book = _at_the_time(connection, names)
    if names:
        asked = {"names": names, "now_ms": book.now_ms}
        book.reserved = dict.fromkeys(names, 0)
        book.reserved.update(
            (name, int(sum_)) for name, sum_ in connection.execute(_RESERVED, asked)
        )
    if ids:
        for reservation_id, *row in connection.execute(_HELD, {"ids": list(ids)}):
            book.held.setdefault(reservation_id, []).append(Held(*row))
    return book


def _at_the_time(connection: Connection, names: Sequence[str]) -> Book:
    """The time, and the levels of accounts."""
    rows = {row.account: row for row in connection.execute(_LEVELS, {"names": [NAMELESS, *names]})}
    mine = rows.pop(NAMELESS, None)
    last = SteadyTime(mine.leaked_at_ms, mine.settled) if mine else SteadyTime()
    return Book(
        time=last.at(now_ms(connection)),
        sweep_at_ms=mine.forget_at_ms if mine else None,
        levels={name: Level(row.settled, row.part, row.leaked_at_ms) for name, row in rows.items()},
    )


def extend(connection: Connection, ids: Iterable[str], now_ms: int, lease_ms: int) -> None:
    """Move the ends of those that are reserved: one statement."""
    asked = {"ids": list(ids), "now_ms": now_ms, "new_end_ms": now_ms + lease_ms}
    connection.execute(_EXTEND, asked)


def write(connection: Connection, book: Book) -> None:
    """Write the time, and what is new in a book: three statements at most, and a sweep."""
    if book.gone:
        connection.execute(_DELETE, {"ids": list(book.gone)})
    if book.new:
        held = [_held_row(name, row) for name, rows in book.new.items() for row in rows]
        connection.execute(_INSERT, held)
    levels = [
        _level_row(name, book.levels[name], forget_at_ms)
        for name, forget_at_ms in book.changed.items()
    ]
    sweep_at_ms = book.sweep_at_ms
    if sweep_at_ms is None or book.now_ms >= sweep_at_ms:
        is_full = sweep_at_ms is not None and _sweep(connection, book.now_ms)
        sweep_at_ms = book.now_ms + (0 if is_full else SWEEP_MS)
    levels.append(_row(NAMELESS, book.time.ahead_ms, 0, book.now_ms, sweep_at_ms))
    connection.execute(_UPSERTS[connection.dialect.name], levels)


def _held_row(reservation_id: str, row: Held) -> dict[str, Any]:
    return {
        "reservation_id": reservation_id,
        "account": row.account,
        "amount": row.amount,
        "ends_at_ms": row.ends_at_ms,
        "is_settled": row.is_settled,
    }


def _level_row(name: str, level: Level, forget_at_ms: int) -> dict[str, Any]:
    rounded_up = -(-forget_at_ms // FORGET_STEP_MS) * FORGET_STEP_MS
    return _row(name, level.whole, level.part, level.at_ms, rounded_up)


def _row(name: str, settled: int, part: int, at_ms: int, forget_at_ms: int) -> dict[str, Any]:
    return {
        "account": name,
        "settled": settled,
        "part": part,
        "leaked_at_ms": at_ms,
        "forget_at_ms": forget_at_ms,
    }


def _sweep(connection: Connection, now_ms: int) -> bool:
    """Delete some of what has run out. Returns whether there may be more."""
    ended = connection.execute(_sweeping(reservations, "ends_at_ms"), {"now_ms": now_ms})
    forgotten = connection.execute(_sweeping(accounts, "forget_at_ms"), {"now_ms": now_ms})
    return max(ended.rowcount, forgotten.rowcount) >= MAX_SWEPT


def _sweeping(table: Table, column: str) -> Any:
    key = table.c.reservation_id if table is reservations else table.c.account
    some = select(key).where(table.c[column] <= bindparam("now_ms"))
    if table is accounts:
        some = some.where(key != NAMELESS)
    # The rows of one reservation end together.
    swept = some.order_by(table.c[column]).limit(MAX_SWEPT)
    return delete(table).where(key.in_(swept), table.c[column] <= bindparam("now_ms"))


def _upsert(dialect: Any) -> Any:
    statement = dialect.insert(accounts)
    changed = {
        column.name: statement.excluded[column.name]
        for column in accounts.columns
        if column is not accounts.c.account
    }
    return statement.on_conflict_do_update(index_elements=["account"], set_=changed)


_UPSERTS = {"sqlite": _upsert(sqlite), "postgresql": _upsert(postgresql)}
