"""Answers in the memory of this process."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

from serve.service.response_cache.store import OVERHEAD_BYTES


class MemoryStore:
    """Answers of one process (an AnswerStore).

    Args:
        max_bytes: of all values, with ``OVERHEAD_BYTES`` each.
        max_entries: values.
        max_age_s: seconds after which a value is none.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        max_bytes: int,
        max_entries: int,
        max_age_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._max_age_s = max_age_s
        self._clock = clock
        self._entries: OrderedDict[bytes, tuple[bytes, float]] = OrderedDict()
        self._num_bytes = 0
        self._num_evictions = 0

    async def find(self, name: bytes) -> bytes | None:
        entry = self._entries.get(name)
        if entry is None:
            return None
        value, ends_at = entry
        if self._clock() >= ends_at:
            self._drop(name)
            return None
        self._entries.move_to_end(name)
        return value

    async def keep(self, name: bytes, value: bytes) -> None:
        self._drop(name)
        self._entries[name] = (value, self._clock() + self._max_age_s)
        self._num_bytes += len(value) + OVERHEAD_BYTES
        while self._num_bytes > self._max_bytes or len(self._entries) > self._max_entries:
            self._drop(next(iter(self._entries)))
            self._num_evictions += 1

    def figures(self) -> Mapping[str, float]:
        return {
            "response_cache_entries": len(self._entries),
            "response_cache_bytes": self._num_bytes,
            "response_cache_evictions_total": self._num_evictions,
        }

    async def close(self) -> None:
        self._entries.clear()
        self._num_bytes = 0

    def _drop(self, name: bytes) -> None:
        entry = self._entries.pop(name, None)
        if entry is not None:
            self._num_bytes -= len(entry[0]) + OVERHEAD_BYTES
