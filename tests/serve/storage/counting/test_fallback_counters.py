"""Each replica counts its part while the shared counters are away, and ends what it began where."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from serve.storage.counting import fallback_counters
from serve.storage.counting.counters import Claim, StoreUnavailable
from serve.storage.counting.fallback_counters import FallbackCounters
from serve.storage.counting.memory_counters import MemoryCounters
from serve.storage.counting.valkey_counters import ValkeyCounters
from tests.contracts.counters import LEASE_MS, CountersContract, Harness, budget, rate
from tests.serve.storage.counting.test_memory_counters import MemoryHarness
from tests.servers.fixtures import needs_redis
from tests.servers.redis import running_redis


class Shared(MemoryCounters):
    """Counters that can be away; where they lose replies, they do as they were told."""

    is_away = False
    loses_replies = False

    async def reserve(self, reservation_id: str, claims: Sequence[Claim], **more: Any) -> Any:
        return await self._answer(super().reserve(reservation_id, claims, **more))

    async def settle(self, reservation_id: str, claims: Sequence[Claim]) -> Any:
        return await self._answer(super().settle(reservation_id, claims))

    async def extend(self, reservation_ids: Sequence[str], **more: Any) -> Any:
        return await self._answer(super().extend(reservation_ids, **more))

    async def balances(self, claims: Sequence[Claim]) -> Any:
        return await self._answer(super().balances(claims))

    async def _answer(self, call: Any) -> Any:
        if self.is_away:
            call.close()
            raise StoreUnavailable("away")
        answer = await call
        if self.loses_replies:
            raise StoreUnavailable("silent")
        return answer


@dataclass
class Replica:
    """One replica of four."""

    def __post_init__(self) -> None:
        self.shared, self.own = Shared(), MemoryCounters()
        self.counters = FallbackCounters(self.shared, lambda: 4, self.own)

    async def held(self, store: MemoryCounters, claim: Claim | None = None) -> tuple[int, int]:
        (balance,) = await MemoryCounters.balances(store, [claim or budget(0)])
        return balance.settled, balance.reserved


@pytest.fixture
def replica() -> Replica:
    return Replica()


class TestFallbackCounters(CountersContract):
    """While the shared ones answer they are as those."""

    @pytest.fixture
    def harness(self) -> Harness:
        harness = MemoryHarness()
        harness.counters = FallbackCounters(harness.counters, lambda: 4)  # type: ignore[assignment]
        return harness


async def test_each_replica_has_its_part_of_each_limit(replica: Replica) -> None:
    replica.shared.is_away = True
    claims = [budget(25), rate(1, 3, "few"), budget(0, 0, "none")]
    decision = await replica.counters.reserve("a", claims, lease_ms=LEASE_MS)
    assert decision.refused is None
    assert [each.limit for each in decision.balances] == [25, 1, 0]
    assert (await replica.counters.reserve("b", [budget(1)], lease_ms=LEASE_MS)).refused == 0
    assert (await replica.counters.balances([budget(0)]))[0].remaining == 0


async def test_what_began_here_ends_here(replica: Replica) -> None:
    replica.shared.is_away = True
    await replica.counters.reserve("a", [budget(20)], lease_ms=LEASE_MS)
    replica.shared.is_away = False
    decision = await replica.counters.reserve("a", [budget(20)], lease_ms=LEASE_MS)
    assert decision.balances[0].reserved == 20, "known here"
    await replica.counters.extend(["a"], lease_ms=LEASE_MS)
    assert await replica.counters.settle("a", [budget(15)])
    assert not await replica.counters.settle("a", [budget(15)])
    assert await replica.held(replica.own) == (15, 0)
    assert await replica.held(replica.shared) == (0, 0)


async def test_what_began_there_ends_there(replica: Replica) -> None:
    await replica.counters.reserve("a", [budget(90)], lease_ms=LEASE_MS)
    replica.shared.is_away = True
    await replica.counters.reserve("b", [budget(20)], lease_ms=LEASE_MS)
    await replica.counters.extend(["a", "b"], lease_ms=LEASE_MS)
    replica.shared.is_away = False
    assert await replica.counters.settle("a", [budget(80)])
    assert await replica.held(replica.shared) == (80, 0)
    assert await replica.held(replica.own) == (0, 20)


@pytest.mark.parametrize("loses_replies", [False, True])
async def test_what_cannot_be_settled_there_is_counted_here_once(
    replica: Replica, loses_replies: bool
) -> None:
    await replica.counters.reserve("a", [budget(20)], lease_ms=LEASE_MS)
    replica.shared.is_away, replica.shared.loses_replies = not loses_replies, loses_replies
    assert await replica.counters.settle("a", [budget(15)])
    replica.shared.is_away = replica.shared.loses_replies = False
    assert not await replica.counters.settle("a", [budget(15)])
    assert await replica.held(replica.own) == (15, 0)
    assert await replica.held(replica.shared) == ((15, 0) if loses_replies else (0, 20))


async def test_its_state_can_be_told(replica: Replica, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    states = []
    for replica.shared.is_away in (False, True, True, False):
        for call in (
            replica.counters.reserve(f"r{len(states)}", [], lease_ms=1),
            replica.counters.settle(f"s{len(states)}", []),
            replica.counters.extend(["x"], lease_ms=1),
            replica.counters.balances([]),
        ):
            await call
            states.append(replica.counters.is_shared_away)
    assert states == [False] * 4 + [True] * 8 + [False] * 4
    told = ["limits count by replica", "limits are shared again"]
    assert [record.getMessage() for record in caplog.records] == told


async def test_ids_that_are_remembered_are_bounded(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallback_counters, "MAX_RESERVATIONS", 10)
    replica.shared.is_away = True
    for number in range(30):
        await replica.counters.reserve(f"r{number}", [budget(1)], lease_ms=LEASE_MS)
    assert len(replica.counters._own_ids) == 10


async def test_an_error_of_the_caller_s_is_no_sign(replica: Replica) -> None:
    with pytest.raises(ValueError, match="lease_ms is 0"):
        await replica.counters.reserve("a", [], lease_ms=0)
    assert not replica.counters.is_shared_away


@needs_redis
async def test_a_real_server_goes_and_comes_back() -> None:
    with running_redis() as server:
        shared = ValkeyCounters(server.url, timeout_s=30.0)
        counters = FallbackCounters(shared, lambda: shared.num_replicas)
        await counters.reserve("a", [budget(60)], lease_ms=LEASE_MS)
        server.stop()
        decision = await counters.reserve("b", [budget(60)], lease_ms=LEASE_MS)
        assert (decision.refused, counters.is_shared_away) == (None, True)
        server.start()
        decision = await counters.reserve("c", [budget(70)], lease_ms=LEASE_MS)
        assert (decision.refused, counters.is_shared_away) == (None, False)
        assert await counters.settle("b", [budget(50)])
        assert (await counters.balances([budget(0)]))[0].reserved == 70
        await counters.close()
