"""Counters in the database: for budgets, which must not be lost, and settled with the ledger's row.

The functions run in a transaction of others, whose writers take turns (Database.write), so that
each reads and then writes without a race. Reservations take three statements, settlements four,
and one more where the clock is a server's: however many are asked for together, and however many
accounts they touch.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from serve.storage.counting import account_rows as rows
from serve.storage.counting import account_rules as rules
from serve.storage.counting.account_book import Book
from serve.storage.counting.counters import Balance, Claim, Counters, Decision
from serve.storage.database import Database
from serve.storage.together import Together

MAX_IDS = 500
"""Reservations that one statement extends."""
R_co = TypeVar("R_co", covariant=True)


class Operation(Protocol[R_co]):
    """A reservation to make or to settle."""

    @property
    def reservation_id(self) -> str: ...
    @property
    def claims(self) -> Sequence[Claim]: ...
    def on(self, book: Book) -> R_co:
        """Do it. The book has read its claims and its id."""
        ...


@dataclass(frozen=True, slots=True)
class Reserve:
    """``Counters.reserve``. Raises ValueError: a claim is out of range (account_rules.py)."""

    reservation_id: str
    claims: Sequence[Claim]
    lease_ms: int

    def __post_init__(self) -> None:
        rules.check(self.reservation_id, self.claims, self.lease_ms)

    def on(self, book: Book) -> Decision:
        return book.reserve(self.reservation_id, self.claims, self.lease_ms)


@dataclass(frozen=True, slots=True)
class _Settling:
    reservation_id: str
    claims: Sequence[Claim]

    def __post_init__(self) -> None:
        rules.check(self.reservation_id, self.claims)


class Settle(_Settling):
    """``Counters.settle``. Raises ValueError: a claim is out of range."""

    def on(self, book: Book) -> bool:
        return book.settle(self.reservation_id, self.claims)


class SettleAndTell(_Settling):
    """The same, and the claims' balances just after it."""

    def on(self, book: Book) -> tuple[Balance, ...]:
        book.settle(self.reservation_id, self.claims)
        return book.balances(self.claims)


def done_in(connection: Connection, operations: Sequence[Operation[R_co]]) -> list[R_co]:
    """Results of operations, done one after the other, in a transaction.

    Args:
        operations: at most some hundreds: their accounts and ids are named in single statements.
    """
    claims = itertools.chain.from_iterable(each.claims for each in operations)
    book = rows.read(connection, claims, [each.reservation_id for each in operations])
    results = [each.on(book) for each in operations]
    rows.write(connection, book)
    return results


def reserve_in(
    connection: Connection, reservation_id: str, claims: Sequence[Claim], *, lease_ms: int
) -> Decision:
    """``Counters.reserve`` in a transaction.

    Raises:
        ValueError: a claim is out of range.
    """
    return done_in(connection, [Reserve(reservation_id, claims, lease_ms)])[0]


def settle_in(connection: Connection, reservation_id: str, claims: Sequence[Claim]) -> bool:
    """``Counters.settle`` in a transaction, such as that of the ledger's row.

    Raises:
        ValueError: a claim is out of range.
    """
    return done_in(connection, [Settle(reservation_id, claims)])[0]


def extend_in(connection: Connection, reservation_ids: Sequence[str], *, lease_ms: int) -> None:
    """``Counters.extend`` in a transaction."""
    for reservation_id in reservation_ids:
        rules.check(reservation_id, (), lease_ms)
    book = rows.read(connection, ())
    remaining = iter(reservation_ids)
    while ids := list(itertools.islice(remaining, MAX_IDS)):
        rows.extend(connection, ids, book.now_ms, lease_ms)
    rows.write(connection, book)


def balances_in(connection: Connection, claims: Sequence[Claim]) -> tuple[Balance, ...]:
    """``Counters.balances`` in a transaction, which may be read-only."""
    rules.check_claims(claims)
    return rows.read(connection, claims).balances(claims)


class SqlCounters(Counters):
    """Counters of a database, shared by all that use it.

    Args:
        database: whose tables are there; it is closed by whoever opened it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reserve(
        self, reservation_id: str, claims: Sequence[Claim], *, lease_ms: int
    ) -> Decision:
        return await self._database.write(
            Together(done_in, Reserve(reservation_id, claims, lease_ms))
        )

    async def settle(self, reservation_id: str, claims: Sequence[Claim]) -> bool:
        return await self._database.write(Together(done_in, Settle(reservation_id, claims)))

    async def extend(self, reservation_ids: Sequence[str], *, lease_ms: int) -> None:
        await self._database.write(
            lambda connection: extend_in(connection, reservation_ids, lease_ms=lease_ms)
        )

    async def balances(self, claims: Sequence[Claim]) -> tuple[Balance, ...]:
        rules.check_claims(claims)
        return await self._database.read(lambda connection: balances_in(connection, claims))

    async def close(self) -> None:
        """The database is closed by whoever opened it."""
