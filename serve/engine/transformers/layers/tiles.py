"""Products with weights that are stored in another form than they are multiplied in.

For many rows a tile of weights is brought into the form that this processor multiplies fastest,
multiplied as usual and forgotten: nothing is held twice, and the unpacking is shared by all rows.
That form is bfloat16 where the processor has products of it, and float32 elsewhere: on one with
AVX2 alone, torch multiplies 512 rows of bfloat16 seven times as slowly (docs/lab-notes.md).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch

from serve.engine.transformers.layers import sizes

TILE = 256
"""Outputs unpacked at a time: for many inputs about a core's share of the last cache."""

Tile = Callable[[int, int], torch.Tensor]
"""``[stop - start, in]``: the weights of these outputs, in float32 or narrower."""


@functools.cache
def has_bfloat16_products() -> bool:
    """Whether this processor multiplies bfloat16, so that oneDNN does."""
    operators = torch.ops.mkldnn
    return bool(
        torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(operators, "_is_mkldnn_bf16_supported")
        and operators._is_mkldnn_bf16_supported()  # noqa: SLF001
    )


def multiplied_as(rows: torch.Tensor) -> torch.dtype:
    """The type in which products with these rows are fastest and lose nothing."""
    if rows.is_cuda or (rows.dtype is torch.bfloat16 and has_bfloat16_products()):
        return rows.dtype
    return torch.float32


def multiply(rows: torch.Tensor, num_out: int, tile: Tile) -> torch.Tensor:
    """``[N, in]`` to ``[N, num_out]``, in ``multiplied_as(rows)``."""
    dtype, num_rows = multiplied_as(rows), len(rows)
    rows = rows.to(dtype)
    if dtype is torch.bfloat16 and not rows.is_cuda:
        rows = sizes.filled(rows)
    result = rows.new_empty(len(rows), num_out)
    for start in range(0, num_out, TILE):
        stop = min(start + TILE, num_out)
        torch.mm(rows, tile(start, stop).to(dtype).t(), out=result[:, start:stop])
    return result[:num_rows]
