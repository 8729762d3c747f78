"""A server of slots in simulated time: each answer takes the same, in the order of arrival."""

from __future__ import annotations

import heapq
from array import array
from dataclasses import dataclass, field

from benchmarks.metrics.request import Targets
from benchmarks.serving.arrivals import schedule
from benchmarks.serving.load import Level
from benchmarks.serving.measuring import Book
from benchmarks.serving.watch import ClientLoad
from benchmarks.trace import Trace

NONE = Targets()
CLIENT = ClientLoad(cpu_share=0.1, lag_ms_p50=0.1, lag_ms_p99=1.0, late_ms_p99=1.0)


@dataclass
class SimulatedServer:
    """Its capacity is ``slots / answer_s``.

    Attributes:
        queue: requests that may wait; more are refused.
        levels: that were sent to it.
    """

    slots: int = 16
    answer_s: float = 0.32
    queue: float = float("inf")
    levels: list[Level] = field(default_factory=list)

    @property
    def capacity_s(self) -> float:
        return self.slots / self.answer_s

    def send(self, level: Level) -> tuple[list[Trace], ClientLoad]:
        self.levels.append(level)
        if level.rate is None:
            return self._closed(level), CLIENT
        return self._open(level, level.rate), CLIENT

    def _open(self, level: Level, rate: float) -> list[Trace]:
        free_at = [0.0] * self.slots
        starts: list[float] = []
        traces = []
        for at in schedule(level.pattern, rate, level.count, seed=level.seed):
            starts = [start for start in starts if start > at]
            if len(starts) >= self.queue and free_at[0] > at:
                traces.append(Trace(sent_at=at, finished_at=at, status=503, error="status 503"))
                continue
            start = max(at, heapq.heappop(free_at))
            heapq.heappush(free_at, start + self.answer_s)
            starts.append(start)
            traces.append(self._answer(at, start))
        return traces

    def _closed(self, level: Level) -> list[Trace]:
        asked_at = [0.0] * (level.concurrency or 1)
        free_at = [0.0] * self.slots
        traces = []
        for _ in range(level.count):
            at = heapq.heappop(asked_at)
            traces.append(self._answer(at, max(at, heapq.heappop(free_at))))
            heapq.heappush(free_at, traces[-1].finished_at or 0.0)
            heapq.heappush(asked_at, traces[-1].finished_at or 0.0)
        return traces

    def _answer(self, at: float, start: float) -> Trace:
        ends_at = start + self.answer_s
        return Trace(
            sent_at=at,
            arrivals_at=array("d", [start + self.answer_s / 16, ends_at]),
            finished_at=ends_at,
            prompt_tokens=4,
            completion_tokens=16,
            finish_reason="length",
            status=200,
        )


def book(server: SimulatedServer, seed: int = 0, targets: Targets = NONE) -> Book:
    """Rows of that server."""
    return Book(model="m", system="s", targets=targets, seed=seed, rounds=1, send=server.send)
