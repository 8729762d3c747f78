"""The store's time: a replica's clock that jumps moves no period."""

from __future__ import annotations

from serve.governance.limits.store_clock import StoreClock
from serve.storage.counting.counters import StoreUnavailable


async def test_a_clock_that_jumps_moves_nothing_once_the_store_was_asked() -> None:
    wall, monotonic, store = [1000.0], [50.0], [2_000_000]

    async def ask() -> int:
        return store[0]

    clock = StoreClock(ask, monotonic=lambda: monotonic[0], wall=lambda: wall[0])
    assert clock.now_ms() == 1_000_000
    await clock.refresh()
    wall[0] += 86_400
    monotonic[0] += 3
    assert clock.now_ms() == 2_003_000


async def test_a_store_that_is_away_leaves_it_running() -> None:
    async def away() -> int:
        raise StoreUnavailable("away")

    clock = StoreClock(away, wall=lambda: 7.0)
    await clock.refresh()
    assert clock.now_ms() == 7000
    own = StoreClock(wall=lambda: 8.0)
    await own.refresh()
    assert own.now_ms() == 8000
