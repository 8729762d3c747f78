"""What leaves the process is ciphertext, and good for one name alone."""

from __future__ import annotations

import pytest

from serve.governance.sealing import SealingKey
from serve.service.response_cache.memory_store import MemoryStore
from serve.service.response_cache.sealed_store import INLINE_BYTES, SealedStore


def a_store() -> MemoryStore:
    return MemoryStore(max_bytes=1 << 20, max_entries=10, max_age_s=9)


@pytest.mark.parametrize("size", [10, INLINE_BYTES + 1])
async def test_only_the_key_opens_it_and_only_at_its_place(size: int) -> None:
    outer = a_store()
    sealed = SealedStore(outer, SealingKey(b"k" * 32))
    value = b"salary " * (size // 7 + 1)
    await sealed.keep(b"ann", value)
    assert await sealed.find(b"ann") == value
    raw = await outer.find(b"ann")
    assert raw is not None
    assert b"salary" not in raw

    await outer.keep(b"bob", raw)  # whoever writes there gives one name's value to another
    assert await sealed.find(b"bob") is None
    assert await SealedStore(outer, SealingKey(b"o" * 32)).find(b"ann") is None
    await outer.keep(b"ann", raw[:-1] + bytes([raw[-1] ^ 1]))
    assert await sealed.find(b"ann") is None
    await outer.keep(b"ann", b"short")
    assert await sealed.find(b"ann") is None
    assert sealed.figures()["response_cache_rejected_total"] == 3
    assert await sealed.find(b"never") is None
    await sealed.close()
