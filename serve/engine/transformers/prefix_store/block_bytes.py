"""Keys and values of one block of the KV cache, over all layers, as bytes in a row."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from serve.engine.transformers.kv_cache import KVCache


class BlockBytes:
    """Copies blocks between a cache and a buffer. For whoever owns the cache alone.

    Args:
        buffer: of at least ``offset + num_bytes(cache)`` bytes, where each block in turn lies.
        offset: where it begins.
    """

    def __init__(self, cache: KVCache, buffer: bytearray, offset: int) -> None:
        row = torch.frombuffer(buffer, dtype=torch.uint8, offset=offset)
        self._parts: list[tuple[torch.Tensor, torch.Tensor]] = []  # [bytes], [num_blocks, bytes]
        start = 0
        for pool in _pools(cache):
            blocks = pool.view(len(pool), -1).view(torch.uint8)
            end = start + blocks.shape[1]
            self._parts.append((row[start:end], blocks))
            start = end

    @staticmethod
    def num_bytes(cache: KVCache) -> int:
        """Bytes of one block."""
        return sum(pool[0].numel() * pool.dtype.itemsize for pool in _pools(cache))

    def copy_out(self, block_id: int) -> None:
        """Put a block of the cache into the buffer."""
        for part, blocks in self._parts:
            part.copy_(blocks[block_id])

    def copy_in(self, block_id: int) -> None:
        """Put what is in the buffer into a block of the cache."""
        for part, blocks in self._parts:
            blocks[block_id].copy_(part)


def _pools(cache: KVCache) -> Iterator[torch.Tensor]:
    for layer in cache.keys:
        yield cache.keys[layer]
        yield cache.values[layer]
