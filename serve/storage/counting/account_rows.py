"""Rows of accounts and reservations: what the counters in SQL read and write, by statements.

All times are those of the counters (steady_time.py), whose state is the account with no name::

    account   settled                  leaked_at_ms        forget_at_ms
    ''        ms ahead of the clock    the last moment     when to sweep next
    others    what was settled         when it was that    when to forget it

A settled reservation is one row, a tombstone, of the account with no name: sums over an account
meet those alone that run. One that runs and claims nothing has such a row too.

What many ask at once is read into one book (account_book.py) and written from it, in as many
statements as what one asks: one, and two or three.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Executable,
    Table,
    bindparam,
    case,
    cast,
    delete,
    func,
    insert,
    literal_column,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from serve.storage.clock import now_ms
from serve.storage.counting.account_book import NAMELESS, Book, Held
from serve.storage.counting.account_rules import Level
from serve.storage.counting.counters import Claim
from serve.storage.counting.steady_time import SteadyTime
from serve.storage.prepared import Prepared, among, padded
from serve.storage.schema import accounts, reservations

SWEEP_MS = 1_000
"""Milliseconds between two sweeps; a full one is followed by the next call's."""
FORGET_STEP_MS = 60_000
"""Accounts are forgotten at full minutes: an indexed column that seldom changes costs less."""
MAX_SWEPT = 500
"""Rows of each table that one sweep deletes."""

_LEVEL, _HELD, _SUM = range(3)


def _reading(*, names: int, claimed: int, ids: int) -> Executable:
    """Rows of (kind, id, account, four numbers): levels, rows of reservations, and sums of them."""
    none: Any = literal_column("0")
    state = select(accounts).where(accounts.c.account == NAMELESS).subquery()
    levels = select(
        literal_column(str(_LEVEL)),
        literal_column("''"),
        accounts.c.account,
        accounts.c.settled,
        accounts.c.part,
        accounts.c.leaked_at_ms,
        accounts.c.forget_at_ms,
    ).where(among(accounts.c.account, "names", names))
    held = select(
        literal_column(str(_HELD)),
        reservations.c.reservation_id,
        reservations.c.account,
        reservations.c.amount,
        reservations.c.ends_at_ms,
        case((reservations.c.is_settled, literal_column("1")), else_=none),
        none,
    ).where(among(reservations.c.reservation_id, "ids", ids))
    clock_ms = bindparam("clock_ms", type_=BigInteger)
    sums = (
        select(
            literal_column(str(_SUM)),
            literal_column("''"),
            reservations.c.account,
            cast(func.sum(reservations.c.amount), BigInteger),
            none,
            none,
            none,
        )
        .where(
            among(reservations.c.account, "claimed", claimed),
            # The later of the two is now (steady_time.py).
            reservations.c.ends_at_ms > select(state.c.leaked_at_ms).scalar_subquery(),
            reservations.c.ends_at_ms > select(state.c.settled + clock_ms).scalar_subquery(),
        )
        .group_by(reservations.c.account)
    )
    return union_all(levels, held, sums)


def _deleting(*, ids: int) -> Executable:
    return delete(reservations).where(among(reservations.c.reservation_id, "ids", ids))


def _upserting(dialect: Any) -> Executable:
    statement: postgresql.Insert | sqlite.Insert = dialect.insert(accounts)
    changed = {
        column.name: statement.excluded[column.name]
        for column in accounts.columns
        if column is not accounts.c.account
    }
    return statement.on_conflict_do_update(index_elements=["account"], set_=changed)


_READ = Prepared(_reading)
_DELETE = Prepared(_deleting)
_INSERT = Prepared(lambda: insert(reservations))
_UPSERTS = {
    "sqlite": Prepared(lambda: _upserting(sqlite)),
    "postgresql": Prepared(lambda: _upserting(postgresql)),
}
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
    """The claims' accounts, these ids' reservations, and the time: one statement.

    The clock is asked first, which on PostgreSQL is another.
    """
    claimed = {claim.account: 0 for claim in claims}
    clock_ms = now_ms(connection)
    names = padded([NAMELESS, *claimed])
    asked = {"names": names, "claimed": names[1:], "ids": padded(ids), "clock_ms": clock_ms}
    book = Book(reserved=claimed)
    last = SteadyTime()
    found: Any = _READ.execute(connection, asked)
    for kind, reservation_id, account, amount, *more in found:
        if kind == _SUM:
            book.reserved[account] = amount
        elif kind == _HELD:
            ends_at_ms, is_settled, _ = more
            row = Held(account, amount, ends_at_ms, is_settled=bool(is_settled))
            book.held.setdefault(reservation_id, []).append(row)
        elif account == NAMELESS:
            _, leaked_at_ms, book.sweep_at_ms = more
            last = SteadyTime(leaked_at_ms, amount)
        else:
            part, leaked_at_ms, _ = more
            book.levels[account] = Level(amount, part, leaked_at_ms)
    book.time = last.at(clock_ms)
    return book


def extend(connection: Connection, ids: Iterable[str], now_ms: int, lease_ms: int) -> None:
    """Move the ends of those that are reserved: one statement."""
    asked = {"ids": list(ids), "now_ms": now_ms, "new_end_ms": now_ms + lease_ms}
    connection.execute(_EXTEND, asked)


def write(connection: Connection, book: Book) -> None:
    """Write the time, and what is new in a book: three statements at most, and a sweep."""
    if book.gone:
        _DELETE.execute(connection, {"ids": padded(list(book.gone))})
    if book.new:
        held = [_held_row(name, row) for name, rows in book.new.items() for row in rows]
        _INSERT.execute_all(connection, held)
    levels = [
        _level_row(name, book.levels[name], forget_at_ms)
        for name, forget_at_ms in book.changed.items()
    ]
    sweep_at_ms = book.sweep_at_ms
    if sweep_at_ms is None or book.now_ms >= sweep_at_ms:
        is_full = sweep_at_ms is not None and _sweep(connection, book.now_ms)
        sweep_at_ms = book.now_ms + (0 if is_full else SWEEP_MS)
    levels.append(_row(NAMELESS, book.time.ahead_ms, 0, book.now_ms, sweep_at_ms))
    _UPSERTS[connection.dialect.name].execute_all(connection, levels)


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
