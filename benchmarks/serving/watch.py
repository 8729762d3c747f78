"""The load generator's own load: its event loop's lag and its share of a core.

A figure of a server means nothing where the client could not keep up: stamps would be late, and
requests sent late. So every run says how the client did.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Self

import numpy as np

TICK_S = 0.02
BUSY_SHARE = 0.85
LAG_MS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLoad:
    """The load of the client.

    Attributes:
        cpu_share: of one core, over the run.
        lag_ms_p50, lag_ms_p99: how late a timer of 20 ms fires.
        late_ms_p99: how much later than planned requests were sent.
    """

    cpu_share: float
    lag_ms_p50: float
    lag_ms_p99: float
    late_ms_p99: float

    @property
    def is_bottleneck(self) -> bool:
        is_late = max(self.lag_ms_p99, self.late_ms_p99) > LAG_MS
        return self.cpu_share > BUSY_SHARE or is_late

    def __str__(self) -> str:
        return (
            f"the load generator took {self.cpu_share:.0%} of a core; its event loop lagged "
            f"{self.lag_ms_p99:.1f} ms (p99), requests left {self.late_ms_p99:.1f} ms late (p99)"
        )


@dataclass
class Watch:
    """Runs beside the load: ``async with Watch() as watch: ...``, then ``watch.client_load``."""

    _lags_s: list[float] = field(default_factory=list)
    _task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._cpu_s, self._began_at = time.process_time(), time.monotonic()
        self._task = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._cpu_s = time.process_time() - self._cpu_s
        self._took_s = time.monotonic() - self._began_at
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def client_load(self, late_s: list[float]) -> ClientLoad:
        """After the run; ``late_s`` of every request."""
        lags_ms = np.asarray(self._lags_s or [0.0]) * 1e3
        late_ms = np.asarray(late_s or [0.0]) * 1e3
        return ClientLoad(
            cpu_share=self._cpu_s / max(self._took_s, 1e-9),
            lag_ms_p50=float(np.percentile(lags_ms, 50)),
            lag_ms_p99=float(np.percentile(lags_ms, 99)),
            late_ms_p99=float(np.percentile(late_ms, 99)),
        )

    async def _tick(self) -> None:
        while True:
            began_at = time.monotonic()
            await asyncio.sleep(TICK_S)
            self._lags_s.append(max(0.0, time.monotonic() - began_at - TICK_S))
