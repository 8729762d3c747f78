"""Leases: extended together while requests run, and by nobody afterwards."""

from __future__ import annotations

from collections.abc import Sequence

from serve.governance.limits.leases import LEASE_MS, Leases
from serve.storage.counting.counters import StoreUnavailable


class Extended:
    """Counters that write down what is extended."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], int]] = []
        self.is_away = False

    async def extend(self, reservation_ids: Sequence[str], *, lease_ms: int) -> None:
        if self.is_away:
            raise StoreUnavailable("away")
        self.calls.append((list(reservation_ids), lease_ms))


async def test_all_that_run_are_extended_in_one_call() -> None:
    rates, budgets = Extended(), Extended()
    leases = Leases({"rates": rates, "budgets": budgets})  # type: ignore[dict-item]
    await leases.extend()
    for name in ("b", "a"):
        leases.hold("rates", name)
    leases.hold("budgets", "a")
    assert leases.num_held == 2
    rates.is_away = True
    await leases.extend()
    assert (rates.calls, budgets.calls) == ([], [(["a"], LEASE_MS)])
    rates.is_away = False
    leases.let_go("a")
    await leases.extend()
    assert rates.calls == [(["b"], LEASE_MS)]
    assert len(budgets.calls) == 1
