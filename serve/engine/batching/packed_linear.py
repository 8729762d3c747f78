"""Linear layers and embeddings that keep the integers of a quantised checkpoint.

::

    x  = a/127 · q      q integers in [-127, 127], a the largest |x| of a block of 32 inputs
    w  = (u - z) · s    u 8 or 4 bits, s and z of a group of inputs of an output, z 128 or 8 where
                        the checkpoint has no zero points
    y  = Σ over blocks of  a/127 · s · (q @ (u - z))  + bias;  the sum within a block is exact

Rows are rounded each by itself, so a token's result does not depend on what else is in the step.
Blocks of 32 are llama.cpp's q8_0; one scale for a whole token, as LLM.int8() and vLLM's W8A8 have
it, loses ten times as much (docs/quality.md).

The loops over ``Panels`` multiply few rows and many where the processor sums products of bytes. For
many rows on other processors, on those with AMX, whose bfloat16 products are faster still, and on a
GPU, tiles are unpacked and multiplied as usual (``tiles.py``), and rows are not rounded.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from serve.engine.batching import tiles
from serve.engine.batching.loops import native, panels
from serve.engine.batching.loops.panels import Panels
from serve.engine.batching.loops.stored_matrix import FEW_ROWS
from serve.engine.batching.quantized_linear import QuantizedLinear

AMX_ROWS = 64
"""Beyond it tiles of bfloat16 make up for unpacking where there is AMX (not verified on one)."""


class PackedLinear(QuantizedLinear):
    """See the module's docstring.

    Args:
        weight: of 8 or 4 bits, its columns filled up to whole blocks.
        in_features: columns, without those that fill the last block.
        bias: ``[out]`` or None.
    """

    def __init__(self, weight: Panels, bias: nn.Parameter | None, *, in_features: int) -> None:
        super().__init__(in_features, weight.num_out, bias)
        self.panels = weight
        is_native = weight.weight.device.type == "cpu" and native.is_available()
        self._is_native = is_native
        if is_native and in_features == weight.num_in:
            self.matrix = weight

    def multiply(self, x: torch.Tensor) -> torch.Tensor:
        rows = x
        if self.in_features < self.panels.num_in:
            rows = nn.functional.pad(x, (0, self.panels.num_in - self.in_features))
        if self._is_native and len(rows) <= self._most_rows:
            result = panels.multiply(self.panels, rows)
        else:
            result = tiles.multiply(rows, self.out_features, self.tile)
        if self.bias is not None:
            result = result.add_(self.bias)
        return result.to(x.dtype)

    @property
    def _most_rows(self) -> int | float:
        """Of the loops; more are multiplied in tiles."""
        if not native.has_byte_products():
            return FEW_ROWS
        return AMX_ROWS if native.has_amx() else float("inf")

    def tile(self, start: int, stop: int) -> torch.Tensor:
        """float32 ``[stop - start, in]``: the weights of these outputs, unpacked."""
        return panels.rows_between(self.panels, start, stop)

    @property
    def stored_as(self) -> str:
        return f"int{self.panels.bits}"

    @property
    def scheme(self) -> str:
        bits = self.panels.bits
        return f"int{bits} (W{bits}A{8 if self._is_native else 16})"

    def stored_bytes(self) -> Mapping[str, int]:
        return {self.stored_as: self.panels.weight.nbytes, "scales": self.panels.scale.nbytes}


class PackedEmbedding(nn.Module):
    """Stands in for an ``nn.Embedding``; each row is dequantised as it is looked up.

    Args:
        weight: a row for each token.
        dtype: of what it gives.
        factor: rows are multiplied by it, as Gemma's embedding does; in ``dtype``.
    """

    stored_as = "int8"

    def __init__(self, weight: Panels, dtype: torch.dtype, factor: torch.Tensor | None) -> None:
        super().__init__()
        self.panels = weight
        self.num_embeddings, self.embedding_dim = weight.num_out, weight.num_in
        self._dtype, self._factor = dtype, factor

    def forward(self, ids: torch.Tensor) -> torch.Tensor:  # [...] -> [..., hidden]
        rows = panels.rows_of(self.panels, ids.reshape(-1)).to(self._dtype)
        rows = rows.view(*ids.shape, self.embedding_dim)
        return rows if self._factor is None else rows * self._factor.to(self._dtype)

    @property
    def scheme(self) -> str:
        return f"int{self.panels.bits} embedding"

    def stored_bytes(self) -> Mapping[str, int]:
        return {
            f"int{self.panels.bits}": self.panels.weight.nbytes,
            "scales": self.panels.scale.nbytes,
        }
