"""Keeps what vLLM's scheduler reports after every step: the load, and whether it still moves.

Stands in for vLLM's logger of statistics, which hears of every step, also of those that yield no
token to anyone, such as a long prompt's. A busy engine makes steps; a hung one makes none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from serve.engine.protocol import EngineLoad, PrefixCacheLoad


class PrefixCacheFigures(Protocol):
    """The part of vLLM's PrefixCacheStats that is read here: of one step."""

    queries: int
    hits: int


class SchedulerFigures(Protocol):
    """The part of vLLM's SchedulerStats that is read here."""

    num_running_reqs: int
    kv_cache_usage: float
    prefix_cache_stats: PrefixCacheFigures


class Heartbeat:
    """Figures of one engine. Touched on its event loop only.

    Args:
        stall_timeout_s: seconds without a step while a stream is open that mean a hung engine.
        clock: monotonic seconds.
    """

    def __init__(self, stall_timeout_s: float, clock: Callable[[], float]) -> None:
        self._stall_timeout_s = stall_timeout_s
        self._clock = clock
        self._num_open = 0
        self._num_running = 0
        self._kv_cache_usage = 0.0
        self._num_steps = 0
        self._num_queries = self._num_hits = 0
        self._moved_at = clock()

    def opened(self) -> None:
        if self._num_open == 0:
            self._moved_at = self._clock()  # it had nothing to do, and so no reason to move
        self._num_open += 1

    def closed(self) -> None:
        self._num_open -= 1

    def load(self) -> EngineLoad:
        """The load. Idle engines report nothing: the last figures count while a stream is open."""
        num_running = min(self._num_open, self._num_running)
        return EngineLoad(
            num_running=num_running,
            num_waiting=self._num_open - num_running,
            kv_cache_usage=self._kv_cache_usage if self._num_open else 0.0,
            num_steps=self._num_steps,
            prefix_cache=PrefixCacheLoad(num_queries=self._num_queries, num_hits=self._num_hits),
        )

    def stalled_s(self) -> float | None:
        """Seconds since the last step, when that is too long ago; else None."""
        still_s = self._clock() - self._moved_at
        return still_s if self._num_open and still_s > self._stall_timeout_s else None

    def record(
        self, scheduler_stats: SchedulerFigures | None = None, *_: object, **__: object
    ) -> None:
        """One step is done. Called by vLLM."""
        self._moved_at = self._clock()
        self._num_steps += 1
        if scheduler_stats is not None:
            self._num_running = scheduler_stats.num_running_reqs
            self._kv_cache_usage = scheduler_stats.kv_cache_usage
            self._num_queries += scheduler_stats.prefix_cache_stats.queries
            self._num_hits += scheduler_stats.prefix_cache_stats.hits
