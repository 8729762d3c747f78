"""The store's time, without asking for it with every request.

Days and months begin by the database's clock, so that replicas whose own clocks differ charge the
same period, and a clock that somebody sets on a replica moves nothing. Between two looks at it the
machine's monotonic clock goes on.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from serve import timeline
from serve.storage.counting.counters import StoreUnavailable


class StoreClock:
    """Unix milliseconds of the store.

    Args:
        ask: the store's own time; None is this machine's.
        monotonic: seconds.
        wall: this machine's Unix seconds: until the store was asked once.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[int]] | None = None,
        *,
        monotonic: Callable[[], float] = timeline.now,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._ask = ask
        self._monotonic = monotonic
        self._wall = wall
        self._offset_ms: float | None = None

    def now_ms(self) -> int:
        """The store's time, as far as it is known."""
        if self._offset_ms is None:
            return int(self._wall() * 1000)
        return int(self._monotonic() * 1000 + self._offset_ms)

    async def refresh(self) -> None:
        """Ask the store; while it is away the clock goes on as it was."""
        if self._ask is None:
            return
        asked_at = self._monotonic()
        try:
            told_ms = await self._ask()
        except StoreUnavailable:
            return
        middle = (asked_at + self._monotonic()) / 2
        self._offset_ms = told_ms - middle * 1000
