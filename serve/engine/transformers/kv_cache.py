"""The paged KV cache: one pool of blocks per layer, for keys and for values.

A sequence's block ids come from the scheduler; every layer uses the same ids. Nothing is moved or
copied when sequences come and go. On the CPU the pools are anonymous memory maps: zero pages that
the kernel commits when they are first written, so a large bound costs nothing until it is used.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from serve.engine.transformers.kernels.layout import BLOCK_SIZE

__all__ = ["BLOCK_SIZE", "KVCache", "LayerShape"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerShape:
    """Sizes of what one attention layer stores per token.

    Attributes:
        num_kv_heads: heads of keys and values.
        key_dim: size of a key head.
        value_dim: size of a value head; most often ``key_dim``.
        sliding_window: a token sees this many, itself included; None sees all.
    """

    num_kv_heads: int
    key_dim: int
    value_dim: int
    sliding_window: int | None

    def bytes_per_token(self, dtype: torch.dtype) -> int:
        return self.num_kv_heads * (self.key_dim + self.value_dim) * dtype.itemsize


class KVCache:
    """Pools of ``[num_blocks, BLOCK_SIZE, num_kv_heads, dim]`` per layer.

    Args:
        shapes: by layer index.
        num_blocks: blocks per pool.
    """

    def __init__(
        self,
        shapes: Mapping[int, LayerShape],
        *,
        num_blocks: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.shapes = dict(shapes)
        self.num_blocks = num_blocks
        self.keys: dict[int, torch.Tensor] = {}
        self.values: dict[int, torch.Tensor] = {}
        for layer, shape in shapes.items():
            rows = (num_blocks, BLOCK_SIZE, shape.num_kv_heads)
            self.keys[layer] = _reserve((*rows, shape.key_dim), dtype, device)
            self.values[layer] = _reserve((*rows, shape.value_dim), dtype, device)

    def clear(self, layer: int, blocks: torch.Tensor) -> None:
        """Zero blocks that a sequence begins to use. blocks: [N] ids.

        The unused end of a block has weight 0 in attention, and 0 * NaN is NaN: without this, one
        sequence that overflowed would ruin those that get its blocks later.
        """
        self.keys[layer].index_fill_(0, blocks, 0)
        self.values[layer].index_fill_(0, blocks, 0)

    def append(
        self, layer: int, slots: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> None:
        """Store new tokens.

        Args:
            layer: layer index.
            slots: ``[T]``; ``block_id * BLOCK_SIZE + offset`` of each token.
            key: ``[T, num_kv_heads, key_dim]``.
            value: ``[T, num_kv_heads, value_dim]``.
        """
        self.keys[layer].flatten(0, 1).index_copy_(0, slots, key)
        self.values[layer].flatten(0, 1).index_copy_(0, slots, value)

    def gather(
        self, layer: int, blocks: torch.Tensor, num_rows: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of whole blocks, ``[B, num_kv_heads, L, dim]`` each.

        Args:
            layer: layer index.
            blocks: ``[B * blocks per row]``, block ids of row after row.
            num_rows: B.
        """
        return (
            _rows(self.keys[layer].index_select(0, blocks), num_rows),
            _rows(self.values[layer].index_select(0, blocks), num_rows),
        )


def _rows(blocks: torch.Tensor, num_rows: int) -> torch.Tensor:
    """[B * n, BLOCK_SIZE, Hkv, D] -> [B, Hkv, n * BLOCK_SIZE, D], a view."""
    return blocks.view(num_rows, -1, *blocks.shape[2:]).transpose(1, 2)


def _reserve(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    if device.type != "cpu":
        return torch.empty(shape, dtype=dtype, device=device)
    num_elements = math.prod(shape)
    pages = mmap.mmap(-1, num_elements * dtype.itemsize)
    return torch.frombuffer(pages, dtype=dtype, count=num_elements).view(shape)
