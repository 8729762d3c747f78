"""A neighbour on the same event loop, which counts what is done for others between its turns."""

from __future__ import annotations

import asyncio
from typing import Self


class Ticker:
    """An async context in which a task takes every turn of the loop.

    Attributes:
        most: largest number that was counted between two of its turns.
        total: all that was counted.
    """

    def __init__(self) -> None:
        self.total = 0
        self.most = 0
        self._done = 0

    def count(self, num: int = 1) -> None:
        """Note that so much was done."""
        self.total += num
        self._done += num
        self.most = max(self.most, self._done)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _tick(self) -> None:
        while True:
            self._done = 0
            await asyncio.sleep(0)
