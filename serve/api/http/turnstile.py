"""A turnstile: a bound on requests of one kind that no engine's queue bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from serve.errors import QueueFull

RETRY_AFTER_S = 1


class Turnstile:
    """Lets few through at once, lets some wait, and refuses the rest. First come, first served.

    Args:
        max_running: requests that are inside at once.
        max_waiting: requests that may wait for one of them to leave.
    """

    def __init__(self, *, max_running: int, max_waiting: int) -> None:
        self._running = asyncio.Semaphore(max_running)
        self._capacity = max_running + max_waiting
        self._num_present = 0

    @asynccontextmanager
    async def passed(self) -> AsyncIterator[None]:
        """Be inside while the block runs.

        Raises:
            QueueFull: too many wait.
        """
        if self._num_present >= self._capacity:
            raise QueueFull(
                f"The server has {self._num_present} requests of this kind, of at most "
                f"{self._capacity}. Retry after the time in Retry-After.",
                retry_after_s=RETRY_AFTER_S,
            )
        self._num_present += 1
        try:
            async with self._running:
                yield
        finally:
            self._num_present -= 1
