"""One level of load: requests are sent, and every one leaves a trace."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from benchmarks.metrics.request import Request
from benchmarks.serving.arrivals import Pattern, schedule
from benchmarks.serving.client import Endpoint, stream
from benchmarks.serving.datasets import PlannedRequest
from benchmarks.serving.watch import ClientLoad, Watch
from benchmarks.trace import Trace

_SPARE_FILES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A level of load.

    Attributes:
        count: of requests in all.
        rate: requests per second of an open loop; None for a closed one, or a replay.
        concurrency: requests in flight: of a closed loop exactly, of an open one at most.
        pattern: of an open loop.
        timeout_s: for one request.
        seed: of an open loop's gaps, and of the prompts.
    """

    count: int
    rate: float | None = None
    concurrency: int | None = None
    pattern: Pattern = "poisson"
    timeout_s: float = 600.0
    seed: int | str = 0

    @property
    def label(self) -> str:
        if self.rate is not None:
            return f"{self.pattern} {self.rate:g}/s"
        return "replay" if self.concurrency is None else f"{self.concurrency} in flight"


async def run(
    endpoint: Endpoint,
    level: Level,
    requests: Iterator[PlannedRequest],
    on_done: Callable[[int], None] = lambda _: None,
) -> tuple[list[Trace], ClientLoad]:
    """All requests of a level, to their ends.

    Args:
        endpoint: of the server.
        level: the load.
        requests: the requests; only as many as are needed are taken.
        on_done: called with the number of requests that are over, as it grows.
    """
    planned = list(islice(requests, level.count))
    check_files(level.concurrency or len(planned))
    # Encoded beforehand: what costs time must not happen while time is measured.
    bodies = [endpoint.request(request.body) for request in planned]
    gate = asyncio.Semaphore(level.concurrency) if level.concurrency else None
    dues = _dues(level, planned)
    num_over = 0
    began_at = time.monotonic() + 0.05

    async def one(body: bytes, due_s: float | None) -> Trace:
        nonlocal num_over
        due_at = None if due_s is None else began_at + due_s
        if due_at is not None:
            await asyncio.sleep(max(0.0, due_at - time.monotonic()))
        if gate is None:
            trace = await stream(endpoint, body, due_at=due_at, timeout_s=level.timeout_s)
        else:
            async with gate:
                trace = await stream(endpoint, body, timeout_s=level.timeout_s)
        num_over += 1
        on_done(num_over)
        return trace

    async with Watch() as watch:
        traces = await asyncio.gather(*map(one, bodies, dues))
    return traces, watch.client_load([Request(trace).late_s for trace in traces])


def _dues(level: Level, planned: Sequence[PlannedRequest]) -> list[float | None]:
    if level.rate is not None:
        return list(schedule(level.pattern, level.rate, len(planned), seed=level.seed))
    if level.concurrency is None:
        return [request.at_s for request in planned]
    return [None] * len(planned)


def check_files(num_streams: int) -> None:
    """Let this process have so many sockets.

    Raises:
        ValueError: the system's hard limit is lower.
    """
    needed = num_streams + _SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ValueError(
            f"{num_streams} streams need {needed} open files, and the hard limit is {hard}: raise "
            "it (ulimit -Hn), or ask for fewer"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
