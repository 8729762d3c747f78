"""Many processes on one budget: nobody overspends, and nobody is refused who had room.

`make prove` has 8 processes of 1,000 concurrent requests on each store, and 50 kills; `make test`
has 2 of 50, and 3. Two judges look on: the balances that each decision told, and the times at which
each process asked and was answered, of which the stores know nothing.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis.asyncio import Redis
from sqlalchemy import Connection, func, select

from serve.storage import schema
from serve.storage.counting import account_rows
from serve.storage.counting.valkey_counters import PREFIX
from serve.storage.database import open_database
from tests.house.tree import ROOT
from tests.serve.storage.counting_worker import ACCOUNT, Store, claim_of, place_of
from tests.servers.fixtures import needs_postgres, needs_redis
from tests.servers.postgres import Postgres
from tests.servers.redis import RedisServer

LEASE_MS = 600_000
TIMEOUT_S = 900.0

pytestmark = [needs_postgres, needs_redis]


class Worker:
    """A process of counting_worker.py."""

    def __init__(self, name: str, stores: Sequence[Sequence[str]], log: Path, **more: Any) -> None:
        self.log = log
        wish = {"name": name, "stores": stores, "log": str(log), **more}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.serve.storage.counting_worker", json.dumps(wish)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def expect(self, word: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"{word}\n"

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()

    def records(self, number: int = 0) -> list[dict[str, Any]]:
        path = Path(f"{self.log}.{number}")
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]


def overspent_and_refused_wrongly(records: Sequence[dict[str, Any]], limit: int) -> tuple[int, int]:
    """By times alone: the most that was surely held above the limit, and refusals surely wrong.

    Held is at least what was granted and is not being settled yet, and what is settled. Where even
    the most that can have been held at any time of a refused call left room for it, it was wrong.
    """
    surely, maybe = [], []
    for each in records:
        if each["granted"]:
            amount, used = each["amount"], each["used"]
            surely += [(each["reserve"][1], amount), (each["settle"][0], used - amount)]
            maybe += [(each["reserve"][0], amount), (each["settle"][1], used - amount)]
    held = np.cumsum([change for _, change in sorted(surely)])
    times, most = np.array(sorted(maybe)).T
    most = np.concatenate([[0], np.cumsum(most)])
    num_wrong = 0
    for each in records:
        if not each["granted"]:
            first, last = np.searchsorted(times, each["reserve"])
            num_wrong += most[first : last + 1].max() + each["amount"] <= limit
    return max(0, int(held.max()) - limit), num_wrong


def check(records: Sequence[dict[str, Any]], limit: int, settled: int) -> None:
    granted = [each for each in records if each["granted"]]
    refused = [each for each in records if not each["granted"]]
    assert len(granted) * len(refused) > 0
    total = [each["settled"] + each["reserved"] for each in granted]
    assert max(total) <= limit
    assert all(each["settled"] + each["reserved"] + each["amount"] > limit for each in refused)
    assert overspent_and_refused_wrongly(records, limit) == (0, 0)
    assert settled == sum(each["used"] for each in granted) <= limit


def race(stores: Sequence[Sequence[str]], folder: Path, num_workers: int, num_at_once: int) -> None:
    limit = 125 * num_workers * num_at_once  # they ask for four times as much, and use twice
    more = {"limit": limit, "lease_ms": LEASE_MS, "num_requests": num_at_once}
    more |= {"num_at_once": num_at_once, "longest_ms": 50.0}
    workers = [
        Worker(f"w{number}", stores, folder / f"w{number}", **more) for number in range(num_workers)
    ]
    try:
        for worker in workers:
            worker.expect("ready")
        for number, (kind, where) in enumerate(stores):
            began = time.monotonic()
            for worker in workers:
                worker.go()
            for worker in workers:
                worker.expect("done")
            seconds = time.monotonic() - began
            records = [each for worker in workers for each in worker.records(number)]
            records = [each for each in records if "granted" in each]
            assert len(records) == num_workers * num_at_once
            settled, reserved, ledger = asyncio.run(look(kind, where, limit))
            assert reserved == 0
            assert ledger in (None, settled)
            check(records, limit, settled)
            num_granted = sum(each["granted"] for each in records)
            print(
                f"{kind}: {len(records):,} requests, {num_granted:,} granted, of {limit:,} "
                f"{settled:,} used; {len(records) / seconds:,.0f} requests/s"
            )
    finally:
        for worker in workers:
            worker.end()


async def look(kind: str, where: str, limit: int) -> tuple[int, int, int | None]:
    """What is settled and reserved, and the sum of the ledger."""
    store = Store(kind, where)
    (balance,) = await store.counters.balances([claim_of(0, limit)])
    ledger = await store.database.read(sum_of_ledger) if store.database else None
    await store.close()
    return balance.settled, balance.reserved, ledger


def sum_of_ledger(connection: Connection) -> int:
    total = select(func.coalesce(func.sum(schema.ledger.c.completion_tokens), 0))
    return int(connection.execute(total).scalar_one())


@pytest.fixture
def stores(postgres: Postgres, redis_server: RedisServer, tmp_path: Path) -> list[tuple[str, str]]:
    """Empty ones of each kind."""
    found = [
        ("sqlite", str(tmp_path / "intramural.db")),
        ("postgresql", postgres.make_database()),
    ]
    for kind, where in found:
        asyncio.run(make_tables(kind, where))
    return [*found, ("valkey", redis_server.url)]


async def make_tables(kind: str, where: str) -> None:
    await (await open_database(place_of(kind, where))).close()


def test_nobody_overspends_and_nobody_is_refused_wrongly(
    stores: list[tuple[str, str]], tmp_path: Path, is_proving: bool
) -> None:
    race(stores, tmp_path, *((8, 1000) if is_proving else (2, 50)))


def test_the_judge_of_times_sees_what_is_wrong() -> None:
    def record(granted: bool, amount: int, used: int, begin: float, end: float) -> dict[str, Any]:
        return {
            "granted": granted,
            "amount": amount,
            "used": used,
            "reserve": [begin, begin + 1],
            "settle": [end, end + 1],
        }

    holder = record(True, 80, 30, 0, 10)
    assert overspent_and_refused_wrongly([holder, record(True, 40, 1, 2, 5)], 100) == (20, 0)
    assert overspent_and_refused_wrongly([holder, record(True, 40, 1, 12, 15)], 100) == (0, 0)
    assert overspent_and_refused_wrongly([holder, record(False, 40, 0, 12, 0)], 100) == (0, 1)
    assert overspent_and_refused_wrongly([holder, record(False, 40, 0, 10, 0)], 100) == (0, 0)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "valkey"])
def test_no_lease_outlives_its_end_and_the_ledger_is_the_account(
    kind: str, stores: list[tuple[str, str]], tmp_path: Path, is_proving: bool
) -> None:
    """SIGKILL at random moments of processes that reserve and settle all the time."""
    if not is_proving and kind != "postgresql":
        pytest.skip("kills of the others: make prove")
    (store,) = [each for each in stores if each[0] == kind]
    num_kills = 50 if is_proving else 2
    chance = random.Random(kind)
    limit, lease_ms = 10**9, 1_500 if is_proving else 500
    more = {"limit": limit, "lease_ms": lease_ms, "num_requests": None, "num_at_once": 20}
    killed: list[Worker] = []
    while len(killed) < num_kills:
        number = len(killed)
        group = [
            Worker(f"k{number + i}", [store], tmp_path / f"k{number + i}", **more)
            for i in range(min(2, num_kills - number))
        ]
        for worker in group:
            worker.expect("ready")
            worker.go()
        for worker in group:
            wait_for_records(worker)
            time.sleep(chance.uniform(0, 0.5))
            assert worker.process.poll() is None
            worker.end()
        killed += group
    last_kill = time.monotonic()
    left = asyncio.run(left_of_leases(*store))
    assert all(0 < left_ms <= lease_ms for left_ms in left)
    time.sleep(max(0.0, last_kill + lease_ms / 1000 - time.monotonic()))
    settled, reserved, ledger = asyncio.run(look(*store, limit))
    assert reserved == 0
    records = [each for worker in killed for each in worker.records()]
    answered = sum(each["used"] for each in records if each.get("granted"))
    begun = sum(each["settling"] for each in records if "settling" in each)
    assert answered <= settled <= begun
    assert ledger in (None, settled)
    print(
        f"{kind}: {num_kills} kills, {len(left)} leases that they left, {settled:,} settled"
        f" ({answered:,} answered), ledger {ledger}"
    )


def wait_for_records(worker: Worker) -> None:
    for _ in range(3000):
        if len(worker.records()) > 5:
            return
        time.sleep(0.01)
    raise AssertionError("it settled nothing in 30 s")


async def left_of_leases(kind: str, where: str) -> list[int]:
    """How many milliseconds each lease still has that has not ended."""
    if kind == "valkey":
        return await left_in_valkey(where)

    def work(connection: Connection) -> list[int]:
        now_ms = account_rows.read(connection, []).now_ms
        ends = select(schema.reservations.c.ends_at_ms).where(
            schema.reservations.c.is_settled.is_(False), schema.reservations.c.ends_at_ms > now_ms
        )
        return [end - now_ms for end in connection.execute(ends).scalars()]

    store = Store(kind, where)
    assert store.database is not None
    left = await store.database.read(work)
    await store.close()
    return left


async def left_in_valkey(url: str) -> list[int]:
    async with Redis.from_url(url, decode_responses=True) as client:
        seconds, micros = await client.time()
        now_ms = seconds * 1000 + micros // 1000
        fields = await client.hgetall(f"{PREFIX}:account:{ACCOUNT}")
    ends = [int(value.split()[1]) for name, value in fields.items() if name.startswith("r:")]
    return [end - now_ms for end in ends if end > now_ms]
