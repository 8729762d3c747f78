"""Killed at any moment: the ledger has what was told, the accounts are its sums, leases end."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from serve.storage.counting.counters import Claim
from serve.storage.database import Database
from serve.storage.migrating import migrate
from serve.storage.places import SqliteFile
from tests.house.tree import ROOT
from tests.kills import num_kills
from tests.serve.governance.limits.killed_worker import LEASE_MS, TEXT
from tests.serve.governance.limits.limited import limits

PATIENCE_S = 120


def killed(folder: Path, seed: int, after_lines: int) -> dict[str, int]:
    """Run a worker, and kill it once it has settled so many requests. Returns what it told."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.serve.governance.limits.killed_worker", folder, str(seed)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as worker:
        assert worker.stdout is not None
        end = threading.Timer(PATIENCE_S, worker.kill)
        end.start()
        lines = [worker.stdout.readline() for _ in range(after_lines)]
        end.cancel()
        assert all(lines), f"no answer for {PATIENCE_S} s"
        worker.kill()
        lines += worker.stdout.read().splitlines(keepends=True)
    whole = [line.split() for line in lines if line.endswith("\n")]
    return {name: int(tokens) for name, tokens in whole}


async def test_no_kill_loses_usage_or_keeps_room(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    migrate(SqliteFile(path=tmp_path / "intramural.db"))
    chance = random.Random(20)
    told: dict[str, int] = {}
    for seed in range(num_kills(pytestconfig, quick=1, prove=50)):
        told |= killed(tmp_path, seed, chance.randrange(1, 60))
    database = Database(SqliteFile(path=tmp_path / "intramural.db"))
    async with limits(database, tmp_path, TEXT) as house:
        await house.reservations.settlements.retry()
        rows = {row.request_id: row for row in await house.rows()}
        entered = {n: row.prompt_tokens + row.completion_tokens for n, row in rows.items()}
        assert told.items() <= entered.items()
        # Those beyond were entered, and killed before they could tell.
        assert len(entered) - len(told) <= 9 * num_kills(pytestconfig, quick=1, prove=50)
        accounts = await house.accounts()
        (day,) = {row.day for row in rows.values()}
        tokens, money = f"all/tokens_per_day/all/{day}", f"all/money_per_day/all/{day}"
        assert accounts == {
            tokens: sum(entered.values()),
            money: sum(row.cost_micros for row in rows.values()),
        }
        await asyncio.sleep(LEASE_MS / 1000)
        claim = Claim(account=tokens, amount=0, limit=10**9, keep_ms=1)
        (balance,) = await house.reservations._budgets.balances([claim])
        assert balance.reserved == 0
    await database.close()
