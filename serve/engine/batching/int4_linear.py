"""A linear layer that keeps 4-bit weights: W4A16, a scale per group of inputs.

The weights lie in memory as on disk. A few rows go through loops of our own (``stored_matrix.py``)
that unpack in registers, and are 16-bit integers there; for many, tiles are unpacked and multiplied
as usual (``tiles.py``) unless the loops are as fast. Where they cannot be had, and on a GPU (not
verified on one), torch's operators unpack the tiles, which is slow.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from serve.engine.batching import tiles
from serve.engine.batching.loops import native, stored_matrix
from serve.engine.batching.quantized_linear import QuantizedLinear

TILE_ROWS = 64
"""Beyond it the processor's product of bfloat16 makes up for unpacking; docs/lab-notes.md."""
_OFFSET = 8
"""What is stored for a weight of zero."""


class Int4Linear(QuantizedLinear):
    """See the module's docstring.

    Args:
        packed: int32 ``[out, in/8]``, eight weights a word, the lowest bits first.
        scale: ``[out, in/group]``.
        bias: ``[out]`` or None.
    """

    def __init__(
        self, packed: torch.Tensor, scale: torch.Tensor, bias: nn.Parameter | None
    ) -> None:
        super().__init__(packed.shape[1] * 8, packed.shape[0], bias)
        self._weight = packed.contiguous().view(torch.uint8)  # [out, in/2], low bits first
        self._scale = scale.float().contiguous()
        self.matrix = stored_matrix.of_int4(self._weight, self._scale)

    def multiply(self, x: torch.Tensor) -> torch.Tensor:
        result = None
        is_for_tiles = len(x) > TILE_ROWS and tiles.multiplied_as(x) is torch.bfloat16
        if self.matrix is not None and not is_for_tiles:
            result = stored_matrix.multiply(self.matrix, x)
        if result is None:
            result = tiles.multiply(x, self.out_features, self.tile)
        if self.bias is not None:
            result = result.add_(self.bias)
        return result.to(x.dtype)

    def tile(self, start: int, stop: int) -> torch.Tensor:
        """float32 ``[stop - start, in]``: the weights of these outputs, unpacked."""
        weight, scale = self._weight[start:stop], self._scale[start:stop]
        if self.matrix is None:
            levels = unpack(weight).to(torch.float32).sub_(_OFFSET)
            return levels.view(*scale.shape, -1).mul_(scale[..., None]).flatten(1)
        from serve.engine.batching.loops import kernels  # noqa: PLC0415 - Numba is loaded when it is needed

        out = scale.new_empty(stop - start, self.in_features)
        native.run(
            kernels.int4_unpack(),
            *(self.in_features, stop - start, scale.shape[1]),
            *(weight.data_ptr(), scale.data_ptr(), out.data_ptr()),
        )
        return out

    @property
    def scheme(self) -> str:
        return "int4 (W4A16)"

    def stored_bytes(self) -> Mapping[str, int]:
        return {"int4": self._weight.nbytes, "float32": self._scale.nbytes}


def unpack(packed: torch.Tensor) -> torch.Tensor:
    """uint8 ``[out, in/2]`` to uint8 ``[out, in]`` in [0, 15]."""
    return torch.stack((packed & 15, packed >> 4), -1).flatten(1)
