"""A flood from one tenant, on a clock of the test's own: the others hardly notice, nobody starves.

Sixteen places, ten tenants whose shares add up to a part of the capacity, answers of 0.4 to 2.2 s;
and other numbers of each. The figures of docs/lab-notes.md: ``python -m
tests.serve.service.test_flood``. The same on sockets and real time: ``python -m
benchmarks.overload flood``.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from serve.service.asked import Asked
from serve.service.engine_queue import EngineQueue
from serve.service.flood_reserve import FloodReserve
from serve.service.place import Place
from serve.service.place_shares import PlaceShares
from serve.timeline import RequestClass

MEAN_S = 1.28
NUM_PLACES = 16
CAPACITY = NUM_PLACES / MEAN_S
TOKENS = 90
SECONDS = 250.0
CALM_S = 30.0
"""Seconds before a flood begins; nothing is counted of them."""
LEAST_WAIT_S = 0.1 * MEAN_S
"""A wait that nobody notices beside an answer, and that a p99 of nothing is not compared below."""


class Fixed(FloodReserve):
    """A reserve that does not learn."""

    def __init__(self, num_places: int) -> None:
        super().__init__(1)
        self._kept = num_places

    def num_places(self, now: float) -> int:
        return self._kept


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A server and its tenants. The first one floods, ``times`` its share, from ``begins_at`` on.

    Attributes:
        load: what the shares of all add up to, of the capacity.
        kept: places of a reserve that does not learn.
    """

    load: float
    times: float
    seed: int = 0
    tenants: int = 10
    places: int = NUM_PLACES
    mean_s: float = MEAN_S
    is_constant: bool = False
    begins_at: float = CALM_S
    kept: int | None = None
    request_class: RequestClass = "interactive"

    @property
    def capacity(self) -> float:
        return self.places / self.mean_s

    def rates(self) -> list[float]:
        share = self.load * self.capacity / self.tenants
        return [self.times * share, *[share] * (self.tenants - 1)]


@dataclass
class Simulated:
    """One run. ``waits`` are of those that reached the engine after CALM_S, by tenant."""

    setting: Setting
    rates: Sequence[float]
    now: float = 0.0
    waits: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    num_refused: Counter[int] = field(default_factory=Counter)
    held_s: Counter[int] = field(default_factory=Counter)
    """Seconds of places that tenants have had since CALM_S, until SECONDS."""

    def __post_init__(self) -> None:
        of = self.setting
        self.queue = EngineQueue(max_running=of.places, clock=lambda: self.now)
        if of.kept is not None:
            ahead = max(1, of.places // 16)
            self.queue._shares = PlaceShares(
                of.places + ahead, ahead, lambda _tenant: 1.0, Fixed(of.kept)
            )
        self.source = random.Random(1000 * of.seed + 1)
        self.number = itertools.count()
        self.events: list[tuple[float, int, int, Place | None]] = []
        self.waiting: list[tuple[Place, int, float]] = []
        self.fifo: list[tuple[Place, int, float]] = []
        self.num_running = 0
        for tenant, rate in enumerate(self.rates):
            source = random.Random(100 * of.seed + tenant)
            at = 0.0 if tenant else of.begins_at
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
        kind = "interactive" if tenant else self.setting.request_class
        asked = Asked(tenant=str(tenant), request_class=kind, tokens=TOKENS)
        if self.queue.num_held + self.queue.num_waiting >= 3 * self.setting.places:
            if self.queue._put_out(asked) is None:
                self.num_refused[tenant] += 1
                return
            gone = next(w for w in self.waiting if w[0]._turn.done() and w[0]._turn.exception())  # type: ignore[union-attr]
            self.waiting.remove(gone)
            self.num_refused[gone[1]] += 1
            gone[0].leave(0)
        self.waiting.append((self.queue.join(asked), tenant, self.now))

    def _step(self) -> None:
        if self.queue.num_waiting != len(self.waiting):
            begun = [entry for entry in self.waiting if not entry[0].is_waiting]
            self.waiting = [entry for entry in self.waiting if entry[0].is_waiting]
            self.fifo += begun
        while self.fifo and self.num_running < self.setting.places:
            place, tenant, arrived_at = self.fifo.pop(0)
            self.num_running += 1
            part = 1.0 if self.setting.is_constant else self.source.uniform(0.3, 1.7)
            ends_at = self.now + self.setting.mean_s * part
            heapq.heappush(self.events, (ends_at, next(self.number), tenant, place))
            self.held_s[tenant] += max(0.0, min(ends_at, SECONDS) - max(self.now, CALM_S))
            if arrived_at >= CALM_S:
                self.waits[tenant].append(self.now - arrived_at)

    def of_others(self) -> list[float]:
        return sorted(wait for tenant, of in self.waits.items() if tenant for wait in of)

    def p99_of_others(self) -> float:
        waits = self.of_others()
        return waits[int(len(waits) * 0.99)]

    def share_of(self, tenants: Iterable[int]) -> float:
        """The part of all places that these have had."""
        places_s = self.setting.places * (SECONDS - CALM_S)
        return sum(self.held_s[tenant] for tenant in tenants) / places_s


async def at(**fields: Any) -> Simulated:
    """One run of a setting."""
    setting = Setting(**fields)
    return await Simulated(setting, setting.rates()).run()


async def both(seeds: int, **fields: Any) -> tuple[float, float, list[Simulated]]:
    """The p99 of the others' waits where one keeps to its share, and where it floods."""
    calm = [await at(times=1, begins_at=0.0, seed=s, kept=0, **fields) for s in range(seeds)]
    floods = [await at(times=50, seed=seed, **fields) for seed in range(seeds)]
    return _mean(o.p99_of_others() for o in calm), _mean(o.p99_of_others() for o in floods), floods


@pytest.mark.parametrize("load", [0.3, 0.5, 0.9, 0.97])
async def test_fifty_times_its_share_moves_the_others_little_and_nobody_starves(
    load: float, pytestconfig: pytest.Config
) -> None:
    is_proof = pytestconfig.getoption("--hypothesis-profile") == "prove"
    calm_s, flood_s, floods = await both(24 if is_proof else 3, load=load)
    assert flood_s <= max(1.2 * calm_s, calm_s + LEAST_WAIT_S)
    for flood in floods:
        assert flood.num_refused[0] > 1_000
        assert flood.share_of([0]) >= 0.09, "its share is a tenth"
        for tenant in range(1, 10):
            assert flood.num_refused[tenant] <= 0.06 * len(flood.waits[tenant])


GRID: list[dict[str, Any]] = [
    *({"tenants": tenants} for tenants in (3, 30)),
    *({"places": 64, "tenants": tenants} for tenants in (3, 30)),
    {"is_constant": True},
    {"mean_s": 0.3},
    {"mean_s": 5.0},
    {"begins_at": 125.0},
    {"request_class": "batch"},
]


@pytest.mark.parametrize("fields", GRID, ids=str)
async def test_whatever_the_server_and_whoever_floods(
    fields: dict[str, Any], pytestconfig: pytest.Config
) -> None:
    if pytestconfig.getoption("--hypothesis-profile") != "prove":
        pytest.skip("minutes: by --hypothesis-profile=prove")
    for load in (0.3, 0.5, 0.7, 0.9, 0.97):
        calm_s, flood_s, _ = await both(6, load=load, **fields)
        least_s = 0.15 * fields.get("mean_s", MEAN_S)
        assert flood_s <= max(1.2 * calm_s, calm_s + least_s), load


@pytest.mark.parametrize("load", [0.5, 0.97])
async def test_without_a_flood_the_reserve_costs_nobody_anything(load: float) -> None:
    plain = await at(load=load, times=1, begins_at=0.0, kept=0)
    kept = await at(load=load, times=1, begins_at=0.0)
    assert kept.p99_of_others() <= 1.2 * plain.p99_of_others() + 0.01
    assert kept.share_of(range(10)) >= 0.998 * plain.share_of(range(10))


async def test_where_all_flood_no_place_is_kept_empty() -> None:
    setting = Setting(load=0.3, times=1, begins_at=0.0)
    everybody = await Simulated(setting, [0.3 * CAPACITY] * 10).run()
    assert everybody.share_of(range(10)) >= 0.99
    got = sorted(everybody.share_of([tenant]) for tenant in range(10))
    assert got[-1] <= 1.1 * got[0]


async def test_a_tenant_that_is_alone_has_all_places() -> None:
    setting = Setting(load=1.0, times=1, begins_at=0.0)
    alone = await Simulated(setting, [3 * CAPACITY]).run()
    assert alone.share_of([0]) >= 0.99


async def test_one_person_beside_a_flood_leaves_it_nearly_all_places() -> None:
    setting = Setting(load=1.0, times=1)
    run = await Simulated(setting, [3 * CAPACITY, 0.02 * CAPACITY]).run()
    assert run.queue._shares._reserve.num_places(SECONDS) <= 4
    assert _mean(wait > 0 for wait in run.waits[1]) <= 0.05
    assert run.share_of([0, 1]) >= 0.6


def _mean(values: Iterable[float]) -> float:
    of = list(values)
    return sum(of) / len(of)


RUNS: dict[str, dict[str, Any]] = {
    "absent": {"times": 0, "kept": 0},
    "at its share": {"times": 1, "kept": 0, "begins_at": 0.0},
    "at its share, learned": {"times": 1, "begins_at": 0.0},
    "flood, no reserve": {"times": 50, "kept": 0},
    "flood, 1/8": {"times": 50, "kept": 2},
    "flood, learned": {"times": 50},
    "10 times, learned": {"times": 10},
}


async def _figures() -> None:
    """Print what the reserve gives and costs: twelve seeds of each load, six of other settings."""
    print(
        "setting | load | run | others' p99 s | of at its share | mean s | had to wait | ", end=""
    )
    print("flood's places | all | of others refused")
    for fields in ({}, *GRID):
        for load in (0.3, 0.5, 0.7, 0.8, 0.9, 0.97):
            calm_s = 0.0
            for name, run in RUNS.items():
                if fields and "learned" not in name and name not in ("absent", "at its share"):
                    continue
                settings = [Setting(**{"load": load, **run, **_begins(fields, run)})]
                settings = [replace(settings[0], seed=s) for s in range(6 if fields else 12)]
                of = [await Simulated(one, one.rates()).run() for one in settings]
                p99_s = _mean(o.p99_of_others() for o in of)
                calm_s = p99_s if name == "at its share" else calm_s
                others = [wait for o in of for wait in o.of_others()]
                refused = sum(n for o in of for t, n in o.num_refused.items() if t) / len(others)
                print(
                    f"{fields or '-'} | {load} | {name} | {p99_s:.3f} | "
                    f"{p99_s / calm_s if calm_s else 0:.2f} | {_mean(others):.3f} | "
                    f"{_mean(wait > 0 for wait in others):.3f} | "
                    f"{_mean(o.share_of([0]) for o in of):.3f} | "
                    f"{_mean(o.share_of(range(o.setting.tenants)) for o in of):.3f} | "
                    f"{refused:.4f}",
                    flush=True,
                )


def _begins(fields: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    """A setting's fields, but for its beginning where the tenant keeps to its share throughout."""
    return {k: v for k, v in fields.items() if not (k == "begins_at" and k in run)}


if __name__ == "__main__":
    asyncio.run(_figures())
