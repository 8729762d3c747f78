"""Turns of the event loop, shared out among connections that have sent more than fits into one.

Whatever a client sends is worked on in bounded pieces, each of which says what it cost. When a turn
has had its share, who wants more waits in a queue, in order, and reads nothing from its socket
meanwhile. Between two turns the loop runs all else: streams, timers, the engine's tokens. Work is
counted rather than timed, so what is let in does not depend on the machine's load.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol

UNITS_A_TURN: Final = 2_000
"""In units of very roughly a microsecond: see ``serve/api/http/framing.py``."""


class Waiting(Protocol):
    """A connection that can wait for a turn."""

    def work(self) -> None:
        """Do one bounded piece of work, ``spend`` what it cost, and ``enqueue`` again for more."""
        ...


class Turns:
    """The shares of one event loop's turns."""

    def __init__(self) -> None:
        self._queue: deque[Waiting] = deque()
        self._num_spent = 0
        self._is_scheduled = False

    @property
    def has_room(self) -> bool:
        """Whether work may be done at once: this turn has some left, and nobody waits for it."""
        return self._num_spent < UNITS_A_TURN and not self._queue

    def spend(self, num_units: int) -> None:
        """Count work that was done in this turn."""
        self._num_spent += num_units
        self._schedule()

    def enqueue(self, waiting: Waiting) -> None:
        """Have ``waiting.work`` called in a turn that has room. Once for each call."""
        self._queue.append(waiting)
        self._schedule()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._is_scheduled = False
        self._num_spent = 0
        # Nobody works twice in a turn.
        for _ in range(len(self._queue)):
            if self._num_spent >= UNITS_A_TURN:
                break
            self._queue.popleft().work()
        if self._queue:
            self._schedule()
