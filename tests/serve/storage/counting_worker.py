"""A process that counts beside others: reserves, waits, settles; what it saw goes to a file.

    python -m tests.serve.storage.counting_worker '{"stores": [["sqlite", "FILE"]], ...}'

It says ``ready`` and begins when it is told a line. Times are of the machine's monotonic clock,
which all processes share.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert

from serve.storage import schema
from serve.storage.counting.counters import Claim, Counters
from serve.storage.counting.sql_counters import SqlCounters, settle_in
from serve.storage.counting.valkey_counters import ValkeyCounters
from serve.storage.database import Database
from serve.storage.places import Patience, PostgresqlServer, SqliteFile

ACCOUNT = "budget"
KEEP_MS = 86_400_000
UNHURRIED = Patience(answer_s=30.0, connect_s=30.0, turn_s=60.0, queue_s=300.0)


@dataclass(frozen=True)
class Wish:
    """The command line's JSON object.

    Attributes:
        stores: kind and place of each, one after the other.
        num_requests: of each store; None goes on until somebody ends the process.
        num_at_once: requests that run at once.
    """

    name: str
    stores: list[tuple[str, str]]
    limit: int
    lease_ms: int
    num_requests: int | None
    num_at_once: int
    log: str
    longest_ms: float = 5.0


def place_of(kind: str, where: str) -> SqliteFile | PostgresqlServer:
    if kind == "sqlite":
        return SqliteFile(path=Path(where), patience=UNHURRIED)
    return PostgresqlServer(conninfo=where, patience=UNHURRIED)


class Store:
    """One store, in which settling writes a row of the ledger too, where there is a ledger."""

    def __init__(self, kind: str, where: str) -> None:
        self.database = None if kind == "valkey" else Database(place_of(kind, where))
        self.counters: Counters = (
            SqlCounters(self.database)
            if self.database
            else ValkeyCounters(where, timeout_s=60.0, queue_s=300.0)
        )

    async def settle(self, request_id: str, claim: Claim) -> bool:
        if self.database is None:
            return await self.counters.settle(request_id, [claim])

        def work(connection: Connection) -> bool:
            is_first = settle_in(connection, request_id, [claim])
            if is_first:
                connection.execute(insert(schema.ledger).values(ledger_row(request_id, claim)))
            return is_first

        return await self.database.write(work)

    async def close(self) -> None:
        await self.counters.close()
        if self.database:
            await self.database.close()


def claim_of(amount: int, limit: int) -> Claim:
    return Claim(account=ACCOUNT, amount=amount, limit=limit, keep_ms=KEEP_MS)


def ledger_row(request_id: str, claim: Claim) -> dict[str, Any]:
    row = {column.name: 0 for column in schema.ledger.columns}
    row |= dict.fromkeys(("day", "tenant", "owner", "key_id", "model", "route", "outcome"), "x")
    return {
        **row,
        "request_id": request_id,
        "currency": "",
        "finished_at_ms": 1,
        "completion_tokens": claim.amount,
    }


async def ask(store: Store, wish: Wish, request_id: str, log: Any) -> None:
    """One request: what it reserves is 1 to 1,000, and what it uses is that or less."""
    amount = random.randint(1, 1000)
    used = random.randint(0, amount)
    began = time.monotonic()
    decision = await store.counters.reserve(
        request_id, [claim_of(amount, wish.limit)], lease_ms=wish.lease_ms
    )
    record = {
        "id": request_id,
        "amount": amount,
        "reserve": [began, time.monotonic()],
        "granted": decision.refused is None,
        "settled": decision.balances[0].settled,
        "reserved": decision.balances[0].reserved,
    }
    if decision.refused is None:
        await asyncio.sleep(random.uniform(0, wish.longest_ms / 1000))
        began = time.monotonic()
        print(json.dumps({"id": request_id, "settling": used}), file=log, flush=True)
        assert await store.settle(request_id, claim_of(used, wish.limit))
        record |= {"used": used, "settle": [began, time.monotonic()]}
    print(json.dumps(record), file=log, flush=True)


async def run(wish: Wish, number: int) -> None:
    store = Store(*wish.stores[number])
    at_once = asyncio.Semaphore(wish.num_at_once)
    with Path(f"{wish.log}.{number}").open("a") as log:  # noqa: ASYNC230

        async def one(index: int) -> None:
            async with at_once:
                await ask(store, wish, f"{wish.name}.{index}", log)

        if wish.num_requests is not None:
            await asyncio.gather(*map(one, range(wish.num_requests)))
        else:
            async with asyncio.TaskGroup() as group:
                for index in range(1_000_000):
                    async with at_once:
                        pass
                    group.create_task(one(index))
                    await asyncio.sleep(0)
    await store.close()


def main() -> None:
    wish = Wish(**json.loads(sys.argv[1]))
    print("ready", flush=True)
    for number in range(len(wish.stores)):
        sys.stdin.readline()
        asyncio.run(run(wish, number))
        print("done", flush=True)


if __name__ == "__main__":
    main()
