"""A flood from one tenant, on a clock of the test's own: the others hardly notice, nobody starves.

Sixteen places, ten tenants whose shares add up to 97 % of the capacity, answers of 0.4 to 2.2 s.
The same on sockets and real time: ``python -m benchmarks.overload flood``.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from serve.service.asked import Asked
from serve.service.engine_queue import EngineQueue
from serve.service.place import Place

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
    now: float = 0.0
    waits: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    num_refused: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        self.queue = EngineQueue(max_running=NUM_PLACES, clock=lambda: self.now)
        self.source = random.Random(1)
        self.number = itertools.count()
        self.events: list[tuple[float, int, int, Place | None]] = []
        self.waiting: list[tuple[Place, int, float]] = []
        self.fifo: list[tuple[Place, int, float]] = []
        self.num_running = 0
        for tenant, rate in enumerate(self.rates):
            source, at = random.Random(tenant), 0.0
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


async def test_fifty_times_its_share_moves_the_others_little_and_nobody_starves() -> None:
    share = 0.97 * CAPACITY / 10
    calm = await Simulated([share] * 10).run()
    flood = await Simulated([50 * share, *[share] * 9]).run()
    assert flood.p99_of_others() <= 1.2 * calm.p99_of_others()
    for tenant in range(1, 10):
        assert flood.num_refused[tenant] <= 0.03 * len(flood.waits[tenant])
    assert flood.num_refused[0] > 10_000
    rate = len(flood.waits[0]) / SECONDS
    assert rate >= CAPACITY - 10 * share  # what the others leave is the flood's
    assert sum(map(len, flood.waits.values())) / SECONDS >= 0.95 * CAPACITY
