"""A flood from one tenant, on a clock of the test's own: the others hardly notice, nobody starves.

Sixteen places, ten tenants whose shares add up to a part of the capacity, answers of 0.4 to 2.2 s.
The figures of docs/lab-notes.md: ``python -m tests.serve.service.test_flood``.
The same on sockets and real time: ``python -m benchmarks.overload flood``.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pytest

from serve.service.asked import Asked
from serve.service.engine_queue import EngineQueue
from serve.service.place import Place
from serve.service.place_shares import PlaceShares

NUM_PLACES = 16
MOST_HELD = 48
MEAN_S = 1.28
CAPACITY = NUM_PLACES / MEAN_S
TOKENS = 90
SECONDS = 250.0


@dataclass
class Simulated:
    """One run. ``waits`` are of those that reached the engine, by tenant."""

    rates: Sequence[float]
    seed: int = 0
    reserve: int | None = None
    now: float = 0.0
    waits: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    num_refused: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        self.queue = EngineQueue(max_running=NUM_PLACES, clock=lambda: self.now)
        if self.reserve is not None:
            self.queue._shares = PlaceShares(NUM_PLACES + 1, self.reserve, lambda _tenant: 1.0)
        self.source = random.Random(1000 * self.seed + 1)
        self.number = itertools.count()
        self.events: list[tuple[float, int, int, Place | None]] = []
        self.waiting: list[tuple[Place, int, float]] = []
        self.fifo: list[tuple[Place, int, float]] = []
        self.num_running = 0
        for tenant, rate in enumerate(self.rates):
            source, at = random.Random(100 * self.seed + tenant), 0.0
            while rate and (at := at + source.expovariate(rate)) < SECONDS:
                heapq.heappush(self.events, (at, next(self.number), tenant, None))

    async def run(self) -> Simulated:
        while self.events:
            self.now, _, tenant, place = heapq.heappop(self.events)
            if place is None:
                self._arrive(tenant)
            else:
                self.num_running -= 1
                place.leave(TOKENS)
            self._step()
        return self

    def _arrive(self, tenant: int) -> None:
        asked = Asked(tenant=str(tenant), request_class="interactive", tokens=TOKENS)
        if self.queue.num_held + self.queue.num_waiting >= MOST_HELD:
            if self.queue._put_out(asked) is None:
                self.num_refused[tenant] += 1
                return
            gone = next(w for w in self.waiting if w[0]._turn.done() and w[0]._turn.exception())  # type: ignore[union-attr]
            self.waiting.remove(gone)
            self.num_refused[gone[1]] += 1
            gone[0].leave(0)
        self.waiting.append((self.queue.join(asked), tenant, self.now))

    def _step(self) -> None:
        for entry in [entry for entry in self.waiting if not entry[0].is_waiting]:
            self.waiting.remove(entry)
            self.fifo.append(entry)
        while self.fifo and self.num_running < NUM_PLACES:
            place, tenant, arrived_at = self.fifo.pop(0)
            self.num_running += 1
            self.waits[tenant].append(self.now - arrived_at)
            ends_at = self.now + MEAN_S * self.source.uniform(0.3, 1.7)
            heapq.heappush(self.events, (ends_at, next(self.number), tenant, place))

    def p99_of_others(self) -> float:
        waits = sorted(w for tenant, of in self.waits.items() if tenant for w in of)
        return waits[int(len(waits) * 0.99)]

    def share_of(self, tenants: Iterable[int]) -> float:
        """The part of the capacity that these have got."""
        return sum(len(self.waits[tenant]) for tenant in tenants) / SECONDS / CAPACITY


async def at(load: float, times: float, seed: int, reserve: int | None = None) -> Simulated:
    """One run in which the shares add up to ``load``, and one tenant asks for so many times its."""
    share = load * CAPACITY / 10
    return await Simulated([times * share, *[share] * 9], seed, reserve).run()


@pytest.mark.parametrize("load", [0.8, 0.9, 0.97])
async def test_fifty_times_its_share_moves_the_others_little_and_nobody_starves(
    load: float, pytestconfig: pytest.Config
) -> None:
    is_proof = pytestconfig.getoption("--hypothesis-profile") == "prove"
    seeds = range(12) if is_proof else range(2)
    calm = [await at(load, 1, seed, reserve=0) for seed in seeds]
    floods = [await at(load, 50, seed) for seed in seeds]
    assert sum(o.p99_of_others() for o in floods) <= 1.2 * sum(o.p99_of_others() for o in calm)
    for flood in floods:
        for tenant in range(1, 10):
            assert flood.num_refused[tenant] <= 0.03 * len(flood.waits[tenant])
        assert flood.num_refused[0] > 10_000
        assert flood.share_of(range(10)) >= 0.96


@pytest.mark.parametrize("load", [0.8, 0.97])
async def test_without_a_flood_the_reserve_costs_nobody_anything(load: float) -> None:
    plain, kept = await at(load, 1, 0, reserve=0), await at(load, 1, 0)
    assert kept.p99_of_others() <= 1.1 * plain.p99_of_others()
    assert kept.share_of(range(10)) >= 0.999 * plain.share_of(range(10))


async def test_where_all_flood_no_place_is_kept_empty() -> None:
    everybody = await Simulated([0.3 * CAPACITY] * 10).run()
    assert everybody.share_of(range(10)) >= 0.99
    got = sorted(everybody.share_of([tenant]) for tenant in range(10))
    assert got[-1] <= 1.1 * got[0]


async def test_a_tenant_that_is_alone_has_all_places() -> None:
    alone = await Simulated([3 * CAPACITY]).run()
    assert alone.share_of([0]) >= 0.99


async def _figures() -> None:
    """Print what each reserve gives and costs, twelve seeds of each."""
    seeds = range(12)
    print("load | run | others' p99 s | mean s | flood | all | of others refused")
    for load in (0.5, 0.8, 0.9, 0.97):
        runs = [("absent", 0, 0), ("at its share", 1, 0), ("at its share, 1/8", 1, 2)]
        runs += [(f"flood, {kept}/16", 50, kept) for kept in (0, 1, 2, 4)]
        for name, times, kept in runs:
            of = [await at(load, times, seed, kept) for seed in seeds]
            others = [w for o in of for tenant in range(1, 10) for w in o.waits[tenant]]
            p99 = sum(o.p99_of_others() for o in of) / len(of)
            flood = sum(o.share_of([0]) for o in of) / len(of)
            total = sum(o.share_of(range(10)) for o in of) / len(of)
            refused = sum(n for o in of for t, n in o.num_refused.items() if t) / len(others)
            mean = sum(others) / len(others)
            print(
                f"{load} | {name} | {p99:.3f} | {mean:.3f} | {flood:.3f} | {total:.3f} | "
                f"{refused:.4f}",
                flush=True,
            )


if __name__ == "__main__":
    asyncio.run(_figures())
