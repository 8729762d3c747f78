"""Settlements: kept where the ledger is away, sent once it is back, and none holds up others."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from serve.governance.limits.settling import Settlements
from serve.governance.limits.spool import Spool
from serve.storage.counting.counters import StoreUnavailable
from serve.storage.counting.memory_counters import MemoryCounters
from serve.storage.database import Database
from serve.storage.ledger import Settlement
from tests.serve.governance.limits.limited import limits
from tests.serve.governance.limits.test_spool import settlement


class Book:
    """A ledger in memory, which may be away, and takes no row of some requests."""

    def __init__(self, *poison: str) -> None:
        self.rows: list[str] = []
        self.is_away = False
        self._poison = poison

    async def enter(self, settlements: Sequence[Settlement], /) -> None:
        if self.is_away:
            raise StoreUnavailable("away")
        for each in settlements:
            if each.row.request_id in self._poison:
                raise ValueError("no row of ours")
        self.rows += [each.row.request_id for each in settlements]


async def test_what_was_kept_is_sent_once(tmp_path: Path) -> None:
    book = Book()
    book.is_away = True
    settlements = Settlements(book, Spool(tmp_path))
    for number in range(450):
        await settlements.settle(settlement(number))
    assert (settlements.num_waiting, settlements.is_store_away) == (450, True)
    await settlements.retry()
    assert book.rows == []
    book.is_away = False
    await settlements.retry()
    await settlements.retry()
    assert book.rows == [f"req-{number}" for number in range(450)]
    assert settlements.num_waiting == 0
    await settlements.close()


async def test_one_that_no_ledger_takes_holds_up_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    book = Book("req-1")
    settlements = Settlements(book, Spool(tmp_path))
    book.is_away = True
    for number in range(3):
        await settlements.settle(settlement(number))
    book.is_away = False
    await settlements.retry()
    assert book.rows == ["req-0", "req-2"]
    assert b'"req-1"' in (tmp_path / "usage-rejected.jsonl").read_bytes()
    assert "usage is set aside" in caplog.text
    await settlements.close()


async def test_without_a_disk_it_is_kept_in_memory_and_nobody_is_let_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Book()
    book.is_away = True
    settlements = Settlements(book, Spool(tmp_path))

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    await settlements.settle(settlement(1))
    assert settlements.is_full
    book.is_away = False
    await settlements.retry()
    assert book.rows == ["req-1"]
    assert settlements.num_waiting == 0
    assert not settlements.is_full  # the database takes usage, whatever the disk does
    monkeypatch.undo()
    await settlements.close()


async def test_a_defect_of_the_rates_store_keeps_no_row_away(
    database: Database, tmp_path: Path
) -> None:
    class Broken(MemoryCounters):
        async def settle(self, *_: Any) -> bool:
            raise RuntimeError("a defect")

    text = '[[limits]]\nname = "x"\nrequests_per_minute = 9\ntokens_per_day = 1000\n'
    async with limits(database, tmp_path, text, rates=Broken()) as house:
        await house.run(10, 20)
        assert [row.completion_tokens for row in await house.rows()] == [20]
        assert list((await house.accounts()).values()) == [30]


async def test_what_is_being_written_down_is_owed_already(tmp_path: Path) -> None:
    book = Book()
    settlements = Settlements(book, Spool(tmp_path))
    book.is_away = True
    await settlements.settle(settlement(1))
    keeping = asyncio.create_task(settlements.settle(settlement(2)))
    await asyncio.sleep(0)  # on its way to the disk
    book.is_away = False
    await settlements.retry()  # sends the first, and may not say that all is sent
    await keeping
    assert settlements.owes_budgets == (settlements.num_waiting > 0)
    await settlements.retry()
    assert sorted(book.rows) == ["req-1", "req-2"]
    assert not settlements.owes_budgets
    await settlements.close()


async def test_a_release_whose_sending_is_cancelled_is_sent_later(tmp_path: Path) -> None:
    class Slow(MemoryCounters):
        is_away = True

        async def settle(self, *claims: Any) -> bool:
            if self.is_away:
                raise StoreUnavailable("away")
            await asyncio.sleep(0)
            return await super().settle(*claims)

    counters = Slow()
    settlements = Settlements(Book(), Spool(tmp_path))
    claims = settlement(1).claims
    await counters.reserve("r", claims, lease_ms=60_000)
    await settlements.release(counters, "r", claims)
    counters.is_away = False
    sending = asyncio.create_task(settlements.retry())
    await asyncio.sleep(0)
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await settlements.retry()
    (balance,) = await counters.balances(claims)
    assert balance.reserved == 0
    await settlements.close()
