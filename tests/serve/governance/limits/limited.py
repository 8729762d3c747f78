"""Limits over real counters and a real ledger: memory for rates, a database for the rest.

``Away`` cuts the database off at a moment of the test's choice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

from serve.governance.limits.existence import Known
from serve.governance.limits.reserving import LimitedReservation, LimitedReservations
from serve.governance.limits.rules_in_force import RulesInForce
from serve.governance.limits.settling import Settlements
from serve.governance.limits.spool import Spool
from serve.governance.limits.store_clock import StoreClock
from serve.governance.principal import Principal
from serve.governance.reservations import Demand
from serve.observe.record import RequestRecord
from serve.storage import schema
from serve.storage.counting.counters import Counters, StoreUnavailable
from serve.storage.counting.memory_counters import MemoryCounters
from serve.storage.counting.sql_counters import SqlCounters
from serve.storage.database import Database
from serve.storage.ledger import Ledger
from serve.timeline import Timeline, Usage

NOON_MS = 1_796_040_000_000
"""A noon in UTC."""
KNOWN = Known(
    aliases={"demo": "demo", "alias": "demo", "adapted": "adapted"},
    keys=frozenset({"key-a", "key-b"}),
    tenants=frozenset({"tenant"}),
    users=frozenset({"ann", "ben"}),
)
PRICES = """
currency = "EUR"
[prices."demo"]
input = "1.00"
cached_input = "0.10"
output = "2.00"
[prices."adapted"]
input = "1.00"
output = "2.00"
"""
ANN = Principal(key_id="key-a", name="a", tenant="tenant", owner="ann")
ANN_AGAIN = Principal(key_id="key-b", name="b", tenant="tenant", owner="ann")


class Away:
    """A database that can be cut off: calls fail before it has done anything, or after it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.fails = False
        self.fails_afterwards = False
        self.is_shared = database.is_shared

    async def write(self, work: Callable[[Connection], Any]) -> Any:
        if self.fails:
            raise StoreUnavailable("it is away")
        result = await self.database.write(work)
        if self.fails_afterwards:
            raise StoreUnavailable("the answer was lost")
        return result

    async def read(self, work: Callable[[Connection], Any]) -> Any:
        if self.fails:
            raise StoreUnavailable("it is away")
        return await self.database.read(work)


@dataclass
class Told:
    """A listener that keeps what it is told."""

    refused: list[tuple[str, str]] = field(default_factory=list)
    observed: list[tuple[str, str]] = field(default_factory=list)

    def limit_refused(self, limit: str, measure: str) -> None:
        self.refused.append((limit, measure))

    def limit_observed(self, limit: str, measure: str) -> None:
        self.observed.append((limit, measure))


@dataclass
class House:
    """One server's limits."""

    reservations: LimitedReservations
    database: Away
    spool: Spool
    told: Told
    now_ms: list[int]

    async def reserve(
        self,
        prompt: int = 10,
        most: int = 90,
        *,
        principal: Principal = ANN,
        model: str = "demo",
        request_id: str | None = None,
    ) -> tuple[LimitedReservation, RequestRecord]:
        record = record_of(request_id, model)
        demand = Demand(
            model=model, prompt_tokens=prompt, max_completion_tokens=most, num_sequences=1
        )
        return await self.reservations.reserve(principal, record, demand), record

    async def run(self, prompt: int = 10, completion: int = 20, **options: Any) -> None:
        """A whole request, which uses less than it reserves."""
        held, record = await self.reserve(prompt, completion + 10, **options)
        record.timeline.usage = Usage(prompt_tokens=prompt, completion_tokens=completion)
        await held.settle(record, has_run=True)

    async def rows(self) -> list[Any]:
        query = select(schema.ledger).order_by(schema.ledger.c.finished_at_ms)
        return list(await self.database.database.read(lambda c: c.execute(query).all()))

    async def accounts(self) -> dict[str, int]:
        """Settled amounts of the budgets, by the account's name."""
        query = select(schema.accounts.c.account, schema.accounts.c.settled)
        rows = await self.database.database.read(lambda c: c.execute(query).all())
        return {account: settled for account, settled in rows if "_per_" in account}

    async def num_reserved(self) -> int:
        """Amounts that are reserved in the database now."""
        query = select(func.coalesce(func.sum(schema.reservations.c.amount), 0)).where(
            schema.reservations.c.is_settled.is_(False)
        )
        return int(await self.database.database.read(lambda c: c.execute(query).scalar_one()))


_numbers = iter(range(10**9))


def record_of(request_id: str | None = None, model: str = "demo") -> RequestRecord:
    return RequestRecord(
        request_id=request_id or f"req-{next(_numbers)}",
        method="POST",
        route="/v1/chat/completions",
        model=model,
        timeline=Timeline(arrived_at=0.0),
    )


@asynccontextmanager
async def limits(
    database: Database,
    folder: Path,
    text: str,
    *,
    key_limits: Mapping[str, Mapping[str, Any]] | None = None,
    known: Known = KNOWN,
    max_bytes: int = 1 << 20,
    shares_database: bool = False,
    rates: Counters | None = None,
) -> AsyncIterator[House]:
    """A server's limits by a file of this text, until the block ends.

    Args:
        shares_database: rates are counted in the database, too.
    """
    path = folder / "limits.toml"
    path.write_text(text)
    away = Away(database)
    spool = Spool(folder, max_bytes=max_bytes)
    told, now_ms = Told(), [NOON_MS]
    stored = key_limits or {}
    settlements = Settlements(Ledger(away), spool)
    counted = SqlCounters(away)  # type: ignore[arg-type]  # what it needs of one
    reservations = LimitedReservations(
        RulesInForce(path, lambda: known, key_limits=stored.get),
        rates=rates or (counted if shares_database else MemoryCounters(lambda: now_ms[0])),
        budgets=counted,
        settlements=settlements,
        clock=StoreClock(wall=lambda: now_ms[0] / 1000),
        listener=told,
    )
    try:
        yield House(reservations, away, spool, told, now_ms)
    finally:
        away.fails = away.fails_afterwards = False
        await reservations.settled()
        await settlements.close()


async def all_of(*works: Any) -> list[Any]:
    """Results of works that run at once; errors are among them."""
    return await asyncio.gather(*works, return_exceptions=True)
