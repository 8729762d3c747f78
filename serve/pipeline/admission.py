"""Admission: a bound on requests in the server, and the gate that closes for a drain.

Pure bookkeeping on the event loop's thread; nothing here waits for the engine. Whoever may
not begin waits in the queue in front of it (serve/service/engine_queue.py); this bound keeps that
queue short, so that a refused client learns it at once, before its prompt is rendered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from serve.errors import Draining, QueueFull


class Admission:
    """A counter of admitted sequences with an upper bound.

    Args:
        max_running: sequences that the engine decodes at once.
        max_waiting: sequences that may wait for it.
    """

    def __init__(self, *, max_running: int, max_waiting: int) -> None:
        self._max_running = max_running
        self._capacity = max_running + max_waiting
        self._num_admitted = 0
        self._is_closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def num_admitted(self) -> int:
        """Sequences that hold a slot now."""
        return self._num_admitted

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def width(self, num_choices: int) -> int:
        """The choices of one request that may run at once; the others follow as these end.

        One request never holds more sequences than the engine decodes at once. One that has to
        take turns anyway leaves a slot to others, so that they wait for none of its choices.
        """
        if num_choices <= self._max_running:
            return num_choices
        return max(1, self._max_running - 1)

    @contextmanager
    def slots(self, num_sequences: int) -> Iterator[None]:
        """Hold slots for the choices of one request while the block runs.

        Args:
            num_sequences: at most ``width`` of what the request has.

        Raises:
            Draining: the gate is closed.
            QueueFull: not now.
        """
        if self._is_closed:
            raise Draining("This server is shutting down. Retry: another replica will answer.")
        if self._num_admitted + num_sequences > self._capacity:
            raise QueueFull(
                f"The server holds {self._num_admitted} of at most {self._capacity} sequences.",
                retry_after_s=min(10, 1 + self._num_admitted // self._max_running // 4),
            )
        self._num_admitted += num_sequences
        self._idle.clear()
        try:
            yield
        finally:
            self._num_admitted -= num_sequences
            if self._num_admitted == 0:
                self._idle.set()

    def close(self) -> None:
        """Admit nobody from now on."""
        self._is_closed = True

    async def wait_idle(self) -> None:
        """Return when no slot is held."""
        await self._idle.wait()
