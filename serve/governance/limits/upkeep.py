"""Upkeep of reservations while the server runs: leases extended, what was kept sent, time asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from serve.governance.limits.leases import EXTEND_EVERY_S
from serve.governance.limits.reserving import LimitedReservations

log = logging.getLogger(__name__)

RETRY_EVERY_S = 1.0
CLOSE_S = 5.0
"""Seconds for the stores to take what is left, before the spool keeps it."""


class Upkeep:
    """Tasks that run beside the requests, from ``start`` to ``close``.

    Args:
        reservations: those that are looked after.
    """

    def __init__(self, reservations: LimitedReservations) -> None:
        self._reservations = reservations
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Learn the store's time, send what an earlier process left, and begin."""
        await self._reservations.clock.refresh()
        await self._reservations.settlements.retry()
        self._tasks = [
            asyncio.create_task(_every(RETRY_EVERY_S, self._reservations.settlements.retry)),
            asyncio.create_task(_every(EXTEND_EVERY_S, self._reservations.leases.extend)),
            asyncio.create_task(_every(EXTEND_EVERY_S, self._reservations.clock.refresh)),
        ]

    async def close(self) -> None:
        """End the tasks, and settle what is left."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not await self._settled():
            self._reservations.settlements.hurry()
            if not await self._settled():
                log.error("requests were not settled, and their usage is lost")
        await self._reservations.settlements.close()

    async def _settled(self) -> bool:
        """Whether all ends are over in time."""
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._reservations.settled()
        except TimeoutError:
            return False
        return True


async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    """Do it again and again. What fails by a defect is logged, and done again."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except Exception:
            log.exception("upkeep of limits failed")
