"""Counters in the database: for budgets, which must not be lost, and settled with the ledger's row.

The functions run in a transaction of others, whose writers take turns (Database.write), so that
each reads and then writes without a race. A reservation takes six statements, a settlement seven,
however many accounts they touch.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from sqlalchemy import Connection

from serve.storage.counting import account_rows as rows
from serve.storage.counting import account_rules as rules
from serve.storage.counting.account_rules import Usage
from serve.storage.counting.counters import Balance, Claim, Counters, Decision
from serve.storage.database import Database

MAX_IDS = 500
"""Reservations that one statement extends."""


def reserve_in(
    connection: Connection, reservation_id: str, claims: Sequence[Claim], *, lease_ms: int
) -> Decision:
    """``Counters.reserve`` in a transaction.

    Raises:
        ValueError: a claim is out of range (account_rules.py).
    """
    rules.check(reservation_id, claims, lease_ms)
    found = rows.read(connection, claims)
    usages = rows.usages(connection, found, claims)
    if rows.is_known(connection, reservation_id, found.now_ms):
        rows.write(connection, found)
        return rules.granted(claims, usages)
    index = rules.first_refusing(claims, usages)
    if index is None:
        amounts = {claim.account: claim.amount for claim in claims}
        rows.insert_reservation(connection, reservation_id, amounts, found.now_ms + lease_ms)
    rows.write(connection, found)
    if index is not None:
        return rules.refused(claims, usages, index)
    after = [
        Usage(usage.level, usage.reserved + claim.amount)
        for usage, claim in zip(usages, claims, strict=True)
    ]
    return rules.granted(claims, after)


def settle_in(connection: Connection, reservation_id: str, claims: Sequence[Claim]) -> bool:
    """``Counters.settle`` in a transaction, such as that of the ledger's row.

    Raises:
        ValueError: a claim is out of range.
    """
    rules.check(reservation_id, claims)
    if rows.is_settled(connection, reservation_id):
        return False
    found = rows.read(connection, claims)
    rows.insert_tombstone(connection, reservation_id, found.now_ms)
    levels = {}
    for claim in claims:
        level = rules.added(found.level(claim), claim.amount)
        levels[claim.account] = (level, rules.forget_at_ms(level, claim, found.now_ms))
    rows.write(connection, found, levels)
    return True


def extend_in(connection: Connection, reservation_ids: Sequence[str], *, lease_ms: int) -> None:
    """``Counters.extend`` in a transaction."""
    for reservation_id in reservation_ids:
        rules.check(reservation_id, (), lease_ms)
    found = rows.read(connection, ())
    remaining = iter(reservation_ids)
    while ids := list(itertools.islice(remaining, MAX_IDS)):
        rows.extend(connection, ids, found.now_ms, lease_ms)
    rows.write(connection, found)


def balances_in(connection: Connection, claims: Sequence[Claim]) -> tuple[Balance, ...]:
    """``Counters.balances`` in a transaction, which may be read-only."""
    rules.check_claims(claims)
    found = rows.read(connection, claims)
    return rules.balances(claims, rows.usages(connection, found, claims))


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
        rules.check(reservation_id, claims, lease_ms)
        return await self._database.write(
            lambda connection: reserve_in(connection, reservation_id, claims, lease_ms=lease_ms)
        )

    async def settle(self, reservation_id: str, claims: Sequence[Claim]) -> bool:
        rules.check(reservation_id, claims)
        return await self._database.write(
            lambda connection: settle_in(connection, reservation_id, claims)
        )

    async def extend(self, reservation_ids: Sequence[str], *, lease_ms: int) -> None:
        await self._database.write(
            lambda connection: extend_in(connection, reservation_ids, lease_ms=lease_ms)
        )

    async def balances(self, claims: Sequence[Claim]) -> tuple[Balance, ...]:
        rules.check_claims(claims)
        return await self._database.read(lambda connection: balances_in(connection, claims))

    async def close(self) -> None:
        """The database is closed by whoever opened it."""
