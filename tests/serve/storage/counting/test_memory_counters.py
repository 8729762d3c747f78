"""Counters in memory pass the contract, and hold a bounded number of everything."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from serve.storage.counting.counters import StoreUnavailable
from serve.storage.counting.memory_counters import MemoryCounters, monotonic_ms
from tests.contracts.counters import (
    LEASE_MS,
    MINUTE_MS,
    CountersContract,
    Harness,
    budget,
    rate,
)


@dataclass
class MemoryHarness(Harness):
    now_ms: int = 10**9
    counters: MemoryCounters = field(init=False)

    def __post_init__(self) -> None:
        self.counters = MemoryCounters(lambda: self.now_ms)

    async def move_clock(self, ms: int) -> None:
        self.now_ms += ms


class TestMemoryCounters(CountersContract):
    @pytest.fixture
    def harness(self) -> MemoryHarness:
        return MemoryHarness()


async def test_accounts_are_forgotten() -> None:
    harness = MemoryHarness()
    for number in range(1000):
        await harness.counters.settle(f"s{number}", [rate(1, account=f"a{number}")])
        await harness.move_clock(MINUTE_MS // 10)
    assert harness.counters.num_accounts <= 11
    assert len(harness.counters._settled) <= 151


async def test_an_account_is_kept_until_it_has_leaked_empty() -> None:
    harness = MemoryHarness()
    observed = rate(1000, is_enforced=False)
    await harness.counters.settle("a", [observed])
    await harness.move_clock(9 * MINUTE_MS)
    assert (await harness.counters.balances([observed]))[0].settled == 100
    await harness.move_clock(MINUTE_MS)
    await harness.counters.balances([])
    assert harness.counters.num_accounts == 0


async def test_an_account_with_reservations_is_kept() -> None:
    harness = MemoryHarness()
    await harness.counters.reserve("a", [rate(10)], lease_ms=20 * MINUTE_MS)
    for _ in range(19):
        await harness.move_clock(MINUTE_MS)
        assert (await harness.counters.balances([rate(0)]))[0].reserved == 10
    await harness.move_clock(MINUTE_MS)
    assert (await harness.counters.balances([rate(0)]))[0].reserved == 0


async def test_more_accounts_than_may_be_held() -> None:
    now_ms = 0
    counters = MemoryCounters(lambda: now_ms, max_accounts=20)
    for number in range(20):
        await counters.settle(f"s{number}", [rate(1, account=f"a{number}")])
    with pytest.raises(StoreUnavailable, match="20 accounts are held already"):
        await counters.reserve("b", [rate(1, account="b")], lease_ms=1)
    assert (await counters.reserve("c", [rate(1, account="a0")], lease_ms=1)).refused is None
    now_ms = MINUTE_MS
    assert (await counters.reserve("b", [rate(1, account="b")], lease_ms=1)).refused is None


async def test_that_nothing_can_be_forgotten_is_seen_at_once() -> None:
    class Counted(list):  # type: ignore[type-arg]
        num_looks = 0

        def __getitem__(self, index: Any) -> Any:
            self.num_looks += 1
            return super().__getitem__(index)

    counters = MemoryCounters(lambda: 0, max_accounts=500)
    for number in range(500):
        await counters.settle(f"s{number}", [rate(1, account=f"a{number}")])
    looked_at = counters._forgetting = Counted(counters._forgetting)
    with pytest.raises(StoreUnavailable):
        await counters.reserve("b", [rate(1, account="b")], lease_ms=1)
    assert looked_at.num_looks < 10


async def test_more_reservations_than_may_be_held() -> None:
    counters = MemoryCounters(max_reservations=20)
    for number in range(20):
        await counters.reserve(f"r{number}", [budget(1)], lease_ms=LEASE_MS)
    with pytest.raises(StoreUnavailable, match="20 reservations are held already"):
        await counters.reserve("b", [budget(1)], lease_ms=LEASE_MS)
    await counters.settle("r0", [])
    assert (await counters.reserve("b", [budget(1)], lease_ms=LEASE_MS)).refused is None
    for number in range(100):
        await counters.settle(f"s{number}", [])
    assert len(counters._settled) == 20


def test_threads_share_it() -> None:
    counters = MemoryCounters()

    def reserve(number: int) -> bool:
        call = counters.reserve(f"r{number}", [budget(9)], lease_ms=MINUTE_MS)
        return asyncio.run(call).refused is None

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(reserve, range(100))) == 11


def test_its_clock_only_goes_forward() -> None:
    times = [monotonic_ms() for _ in range(100)]
    assert times == sorted(times)
