"""Rows of accounts and reservations: what the counters in SQL read and write, by statements.

All times are those of the counters (steady_time.py), whose state is the account with no name::

    account   settled                  leaked_at_ms        forget_at_ms
    ''        ms ahead of the clock    the last moment     when to sweep next
    others    what was settled         when it was that    when to forget it

A settled reservation is one row, a tombstone, of the account with no name: sums over an account
meet those alone that run. One that runs and claims nothing has such a row too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from serve.storage.clock import now_ms
from serve.storage.counting import account_rules as rules
from serve.storage.counting.account_rules import Level, Usage
from serve.storage.counting.counters import Claim
from serve.storage.counting.steady_time import SteadyTime
from serve.storage.schema import accounts, reservations

NAMELESS = ""
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
_RESERVATION = select(reservations.c.ends_at_ms, reservations.c.is_settled).where(
    reservations.c.reservation_id == bindparam("id")
)
_RELEASE = delete(reservations).where(reservations.c.reservation_id == bindparam("id"))
_EXTEND = (
    update(reservations)
    .where(
        reservations.c.reservation_id.in_(bindparam("ids", expanding=True)),
        reservations.c.ends_at_ms > bindparam("now_ms"),
        reservations.c.is_settled.is_(False),
    )
    .values(ends_at_ms=bindparam("new_end_ms"))
)


@dataclass(frozen=True, slots=True)
class Accounts:
    """Some accounts, read at once.

    Attributes:
        time: of the counters, now.
        sweep_at_ms: when to sweep next; None while nothing was ever written.
    """

    time: SteadyTime
    levels: Mapping[str, Level]
    sweep_at_ms: int | None

    @property
    def now_ms(self) -> int:
        return self.time.now_ms

    def level(self, claim: Claim) -> Level:
        """The claim's account as it is now."""
        return rules.leaked(self.levels.get(claim.account, Level()), claim, self.now_ms)


def read(connection: Connection, claims: Sequence[Claim]) -> Accounts:
    """The claims' accounts and the time: two statements."""
    names = [NAMELESS, *(claim.account for claim in claims)]
    rows = {row.account: row for row in connection.execute(_LEVELS, {"names": names})}
    mine = rows.pop(NAMELESS, None)
    last = SteadyTime(mine.leaked_at_ms, mine.settled) if mine else SteadyTime()
    return Accounts(
        time=last.at(now_ms(connection)),
        levels={name: Level(row.settled, row.part, row.leaked_at_ms) for name, row in rows.items()},
        sweep_at_ms=mine.forget_at_ms if mine else None,
    )


def usages(connection: Connection, found: Accounts, claims: Sequence[Claim]) -> list[Usage]:
    """Levels and reserved sums of the claims' accounts: one statement."""
    if not claims:
        return []
    asked = {"names": [claim.account for claim in claims], "now_ms": found.now_ms}
    reserved = {name: int(amount) for name, amount in connection.execute(_RESERVED, asked)}
    return [Usage(found.level(claim), reserved.get(claim.account, 0)) for claim in claims]


def is_known(connection: Connection, reservation_id: str, now_ms: int) -> bool:
    """Whether an id is reserved or was settled; rows of one whose lease has ended are deleted."""
    rows = connection.execute(_RESERVATION, {"id": reservation_id}).all()
    if any(row.is_settled or row.ends_at_ms > now_ms for row in rows):
        return True
    if rows:
        release(connection, reservation_id)
    return False


def is_settled(connection: Connection, reservation_id: str) -> bool:
    """Whether an id has a tombstone; where it is merely reserved its rows are deleted."""
    rows = connection.execute(_RESERVATION, {"id": reservation_id}).all()
    if any(row.is_settled for row in rows):
        return True
    if rows:
        release(connection, reservation_id)
    return False


def release(connection: Connection, reservation_id: str) -> None:
    """Delete all rows of an id."""
    connection.execute(_RELEASE, {"id": reservation_id})


def insert_reservation(
    connection: Connection, reservation_id: str, amounts: Mapping[str, int], ends_at_ms: int
) -> None:
    """Rows of an id that has none: one for each account."""
    rows = [
        {
            "reservation_id": reservation_id,
            "account": account,
            "amount": amount,
            "ends_at_ms": ends_at_ms,
            "is_settled": False,
        }
        for account, amount in (amounts or {NAMELESS: 0}).items()
    ]
    connection.execute(insert(reservations), rows)


def insert_tombstone(connection: Connection, reservation_id: str, now_ms: int) -> None:
    """The row of an id that is settled and has no other."""
    row = {
        "reservation_id": reservation_id,
        "account": NAMELESS,
        "amount": 0,
        "ends_at_ms": now_ms + rules.TOMBSTONE_MS,
        "is_settled": True,
    }
    connection.execute(insert(reservations), row)


def extend(connection: Connection, ids: Iterable[str], now_ms: int, lease_ms: int) -> None:
    """Move the ends of those that are reserved: one statement."""
    asked = {"ids": list(ids), "now_ms": now_ms, "new_end_ms": now_ms + lease_ms}
    connection.execute(_EXTEND, asked)


def write(
    connection: Connection, found: Accounts, levels: Mapping[str, tuple[Level, int]] | None = None
) -> None:
    """Write the time, and levels with when each may be forgotten: one statement, and a sweep."""
    rows = [
        _row(name, level.whole, level.part, level.at_ms, _rounded_up(forget_at_ms))
        for name, (level, forget_at_ms) in (levels or {}).items()
    ]
    sweep_at_ms = found.sweep_at_ms
    if sweep_at_ms is None or found.now_ms >= sweep_at_ms:
        is_full = sweep_at_ms is not None and _sweep(connection, found.now_ms)
        sweep_at_ms = found.now_ms + (0 if is_full else SWEEP_MS)
    rows.append(_row(NAMELESS, found.time.ahead_ms, 0, found.now_ms, sweep_at_ms))
    connection.execute(_UPSERTS[connection.dialect.name], rows)


def _rounded_up(forget_at_ms: int) -> int:
    return -(-forget_at_ms // FORGET_STEP_MS) * FORGET_STEP_MS


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
