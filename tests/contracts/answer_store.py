"""The contract of a store of kept answers (serve/service/response_cache/store.py)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from serve.service.response_cache.store import OVERHEAD_BYTES, AnswerStore

MAX_BYTES = 20 * (OVERHEAD_BYTES + 1000)
MAX_ENTRIES = 30
MAX_AGE_S = 60.0


@dataclass
class Harness:
    """A store with the bounds above, and its clock."""

    store: AnswerStore
    wait: Callable[[float], Awaitable[None]]
    """Lets so many seconds pass."""

    @property
    def num_entries(self) -> float:
        return self.store.figures()["response_cache_entries"]


class AnswerStoreContract:
    """Subclasses have a fixture ``harness``."""

    async def test_what_is_kept_is_found_whole(self, harness: Harness) -> None:
        for raw in (b"", b"\0\xff\r\n", b"x" * 1000):
            await harness.store.keep(b"name\0", raw)
            assert await harness.store.find(b"name\0") == raw
        assert await harness.store.find(b"name") is None
        assert harness.num_entries == 1

    async def test_it_is_too_old_one_day(self, harness: Harness) -> None:
        await harness.store.keep(b"a", b"1")
        await harness.wait(MAX_AGE_S - 1)
        assert await harness.store.find(b"a") == b"1"
        await harness.wait(2)
        assert await harness.store.find(b"a") is None
        await harness.store.keep(b"a", b"2")
        assert await harness.store.find(b"a") == b"2"
        assert harness.num_entries == 1

    async def test_the_ones_unused_for_longest_make_room_in_bytes(self, harness: Harness) -> None:
        names = [b"%d" % number for number in range(20)]
        for name in names:
            await harness.store.keep(name, b"x" * 1000)
            await harness.wait(0.01)
        assert harness.store.figures()["response_cache_bytes"] == MAX_BYTES
        assert await harness.store.find(names[0]) is not None
        await harness.wait(0.01)
        await harness.store.keep(b"new", b"x" * 1000)
        kept = [name for name in names if await harness.store.find(name) is not None]
        assert kept == [names[0], *names[2:]]
        assert harness.store.figures()["response_cache_evictions_total"] == 1
        assert harness.store.figures()["response_cache_bytes"] <= MAX_BYTES

    async def test_it_is_bounded_in_entries(self, harness: Harness) -> None:
        for number in range(MAX_ENTRIES + 10):
            await harness.store.keep(b"%d" % number, b"")
            await harness.wait(0.01)
        assert harness.num_entries == MAX_ENTRIES
        assert await harness.store.find(b"9") is None
        assert await harness.store.find(b"10") == b""

    async def test_a_value_that_is_larger_than_all_room_is_not_kept(self, harness: Harness) -> None:
        await harness.store.keep(b"a", b"x" * MAX_BYTES)
        assert await harness.store.find(b"a") is None
        figures: dict[str, Any] = dict(harness.store.figures())
        assert (figures["response_cache_entries"], figures["response_cache_bytes"]) == (0, 0)
