"""Answers in a store that others can read: each is encrypted, and bound to its name."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from serve.governance.sealing import SealingKey, UnsealableError
from serve.service.response_cache.store import AnswerStore

INLINE_BYTES: Final = 64 << 10
"""More than this is encrypted on a thread."""


class SealedStore:
    """A store within a store (an AnswerStore).

    Args:
        store: gets names and ciphertexts, and nothing else.
        key: of the site's; replicas that share a store share it.
    """

    def __init__(self, store: AnswerStore, key: SealingKey) -> None:
        self._store = store
        self._key = key
        self._num_foreign = 0

    async def find(self, name: bytes) -> bytes | None:
        sealed = await self._store.find(name)
        if sealed is None:
            return None
        try:
            if len(sealed) <= INLINE_BYTES:
                return self._key.unseal(name, sealed)
            return await asyncio.to_thread(self._key.unseal, name, sealed)
        except UnsealableError:
            self._num_foreign += 1
            return None

    async def keep(self, name: bytes, value: bytes) -> None:
        if len(value) <= INLINE_BYTES:
            sealed = self._key.seal(name, value)
        else:
            sealed = await asyncio.to_thread(self._key.seal, name, value)
        await self._store.keep(name, sealed)

    def figures(self) -> Mapping[str, float]:
        return {**self._store.figures(), "response_cache_rejected_total": self._num_foreign}

    async def close(self) -> None:
        await self._store.close()
