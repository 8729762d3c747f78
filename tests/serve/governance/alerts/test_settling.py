"""Settlements in a real ledger: each threshold is told with the one that crossed it, or not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from sqlalchemy import select

from serve.governance.alerts.settling import alerting
from serve.storage import schema
from serve.storage.counting.counters import Claim
from serve.storage.database import Database
from serve.storage.ledger import Ledger, LedgerRow, Settlement
from serve.storage.places import SqliteFile

ROW = LedgerRow(
    request_id="req-1",
    finished_at_ms=1_764_400_000_000,
    day="2026-11-29",
    tenant="ward",
    owner="ann",
    key_id="key-a",
    model="demo",
    route="/v1/chat/completions",
    outcome="stop",
    prompt_tokens=1,
    cached_tokens=0,
    completion_tokens=1,
    reasoning_tokens=0,
    cost_micros=0,
    currency="",
)
ACCOUNT = "all/tokens_per_day/all/2026-11-29"


def settlement(request_id: str, amount: int, account: str = ACCOUNT) -> Settlement:
    claim = Claim(account=account, amount=amount, limit=100, keep_ms=86_400_000)
    return Settlement(claims=(claim,), row=replace(ROW, request_id=request_id))


@pytest.fixture
async def database(database_file):
    opened = Database(SqliteFile(path=database_file))
    yield opened
    await opened.close()


async def payloads(database) -> list[dict]:
    rows = await database.read(lambda c: c.execute(select(schema.alerts.c.payload)).all())
    return sorted((json.loads(row.payload) for row in rows), key=lambda each: each["used"])


async def test_the_settlement_that_crosses_tells_it(database):
    ledger = Ledger(database, [alerting([50, 80], ["webhook"])])
    for number, amount in enumerate((49, 1, 29, 30)):
        await ledger.enter([settlement(f"req-{number}", amount)])
    told = await payloads(database)
    assert [(each["threshold_percent"], each["used"]) for each in told] == [(50, 50), (80, 109)]
    assert {each["account"] for each in told} == {ACCOUNT}


async def test_a_settlement_that_is_entered_twice_tells_once(database):
    ledger = Ledger(database, [alerting([50], ["webhook", "mail"])])
    for _ in range(3):
        await ledger.enter([settlement("req-1", 60)])
    assert len(await payloads(database)) == 2, "one by each channel"


async def test_a_settlement_that_is_rolled_back_tells_nothing(database):
    def failing(*_: object) -> None:
        raise LookupError

    ledger = Ledger(database, [alerting([50], ["webhook"]), failing])
    with pytest.raises(LookupError):
        await ledger.enter([settlement("req-1", 60)])
    assert await payloads(database) == []


@pytest.mark.parametrize(
    "name", ["tenant=\x1b[31m", "tenant=\n", "x" * 512, "模型" * 200, "\u202e"]
)
async def test_no_name_makes_a_settlement_fail(database, name):
    ledger = Ledger(database, [alerting([50], ["webhook"])])
    odd = settlement("req-1", 60, account=name)
    await ledger.enter([replace(odd, row=replace(odd.row, tenant=name[:64]))])
    (told,) = await payloads(database)
    assert told["account"].isprintable()
    assert len(told["account"]) <= 512
