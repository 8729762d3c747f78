"""One request's place: in the queue until its turn comes, then in the engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final, Protocol

from serve.pipeline.events import Queued
from serve.service.tenant_rounds import Ticket

UPDATE_S: Final = 1.0
KEEP_ALIVE_S: Final = 15.0


class Places(Protocol):
    """The queue, as one of its places sees it."""

    def place_of(self, ticket: Ticket) -> Queued: ...
    def leave(self, ticket: Ticket, used_tokens: int) -> None: ...


class Place:
    """A request's place, until it is left.

    Args:
        turn: done when its turn has come, or failed; None where it has never waited.
    """

    def __init__(self, queue: Places, ticket: Ticket, turn: asyncio.Future[None] | None) -> None:
        self._queue = queue
        self._ticket = ticket
        self._turn = turn
        self._has_left = False

    @property
    def is_waiting(self) -> bool:
        return self._turn is not None and not self._turn.done()

    async def wait(self) -> None:
        """Return when its turn has come.

        Raises:
            QueueFull: it had to make room.
        """
        if self._turn is not None:
            await self._turn

    async def updates(self) -> AsyncGenerator[Queued, None]:
        """Its place in the queue, whenever that changes, and now and then; ends with its turn.

        At most one in UPDATE_S, and at least one in KEEP_ALIVE_S.
        """
        told: Queued | None = None
        num_silent = 0
        while self.is_waiting and self._turn is not None:
            now = self._queue.place_of(self._ticket)
            num_silent += 1
            if told is None or now.position != told.position or num_silent >= KEEP_ALIVE_S:
                told, num_silent = now, 0
                yield now
            await asyncio.wait({self._turn}, timeout=UPDATE_S)
        await self.wait()

    def leave(self, used_tokens: int) -> None:
        """Give it back. Idempotent.

        Args:
            used_tokens: of the prompt and the answer, where it ran.
        """
        if not self._has_left:
            self._has_left = True
            self._queue.leave(self._ticket, used_tokens)
