"""A linear layer that keeps bitsandbytes' 4-bit weights: nf4, blocks of 64 (QLoRA, Dettmers et al.
2023).

A tile of outputs is dequantised to the rows' own type and multiplied as usual, tile by tile, so
that no more than one tile is ever held in full. bitsandbytes has a product for few rows too, on
processors with products of bfloat16 alone; it rounds the blocks' scales to bfloat16, so it is not
used: one arithmetic for every number of rows, and for every processor.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from quantize.formats import bnb
from serve.engine.transformers.layers.quantized_linear import QuantizedLinear

BLOCK = 64
_TILE = 1024


class Nf4Linear(QuantizedLinear):
    """Linear layer over nf4 weights, dequantised a tile at a time.

    Args:
        packed: uint8, ``out * in / 2`` bytes: rows one after the other, two weights in a byte.
        largest: float32 ``[out * in / 64]``: the largest absolute value of each block.
        in_features: a multiple of 64, so that a tile is whole blocks.
        bias: ``[out]`` or None.
    """

    def __init__(
        self,
        packed: torch.Tensor,
        largest: torch.Tensor,
        bias: nn.Parameter | None,
        *,
        in_features: int,
    ) -> None:
        super().__init__(in_features, 2 * packed.numel() // in_features, bias)
        self._packed = packed.view(self.out_features, -1)
        self._largest = largest.view(self.out_features, -1)

    def multiply(self, x: torch.Tensor) -> torch.Tensor:
        result = x.new_empty(len(x), self.out_features)
        for start in range(0, self.out_features, _TILE):
            tile = self.tile(start, min(start + _TILE, self.out_features), x.dtype)
            result[:, start : start + _TILE] = x @ tile.t()
        return result if self.bias is None else result.add_(self.bias)

    def tile(self, start: int, stop: int, dtype: torch.dtype) -> torch.Tensor:
        """``[stop - start, in]``: the weights of these outputs."""
        largest = self._largest[start:stop].flatten()
        shape = (stop - start, self.in_features)
        return bnb.dequantise(self._packed[start:stop], largest, shape, BLOCK, dtype)

    @property
    def stored_as(self) -> str:
        return "nf4"

    @property
    def scheme(self) -> str:
        return "nf4 (W4A16)"

    def stored_bytes(self) -> Mapping[str, int]:
        return {"nf4": self._packed.nbytes, "float32": self._largest.nbytes}
