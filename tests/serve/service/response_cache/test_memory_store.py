"""The store in memory keeps the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from serve.service.response_cache.memory_store import MemoryStore
from tests.contracts.answer_store import (
    MAX_AGE_S,
    MAX_BYTES,
    MAX_ENTRIES,
    AnswerStoreContract,
    Harness,
)


class TestMemoryStore(AnswerStoreContract):
    @pytest.fixture
    async def harness(self) -> AsyncIterator[Harness]:
        now = 0.0

        async def wait(seconds: float) -> None:
            nonlocal now
            now += seconds

        store = MemoryStore(
            max_bytes=MAX_BYTES, max_entries=MAX_ENTRIES, max_age_s=MAX_AGE_S, clock=lambda: now
        )
        yield Harness(store, wait)
        await store.close()
        assert store.figures()["response_cache_bytes"] == 0
