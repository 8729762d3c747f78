"""Linear layers and embeddings that keep the integers of a quantised checkpoint.

::

    x  = a/127 · q      q integers in [-127, 127], a the largest |x| of a block of 32 inputs
    w  = (u - z) · s    u 8 or 4 bits, s and z of a group of inputs of an output, z 128 or 8 where
                        the checkpoint has no zero points
    y  = Σ over blocks of  a/127 · s · (q @ (u - z))  + bias;  the sum within a block is exact

Rows are rounded each by itself, so a token's result does not depend on what else is in the step.
Blocks of 32 are llama.cpp's q8_0; one scale for a whole token, as LLM.int8() and vLLM's W8A8 have
it, loses ten times as much (docs/quality.md).

The loops over ``Panels`` multiply few rows and many, on every processor: two ways with other sums
would push activations over the edge of a step, and an answer would hang on how many rows share one.
On a GPU, and where there are no loops, tiles are unpacked and multiplied as usual (``tiles.py``),
and rows are not rounded.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from serve.engine.transformers.kernels import native, panels
from serve.engine.transformers.kernels.panels import Panels
from serve.engine.transformers.layers import tiles
from serve.engine.transformers.layers.quantized_linear import QuantizedLinear


def product(weight: Panels, x: torch.Tensor) -> torch.Tensor:
    """``[N, out]`` of rows ``[N, in]``, in float32 or the rows' own type.

    Args:
        weight: its columns may be filled up to whole blocks; the rows then are, too.
        x: at least one row.
    """
    if x.shape[1] < weight.num_in:
        x = nn.functional.pad(x, (0, weight.num_in - x.shape[1]))
    if _has_loops(weight):
        return panels.multiply(weight, x)
    return tiles.multiply(
        x, weight.num_out, lambda start, stop: panels.rows_between(weight, start, stop)
    )


def _has_loops(weight: Panels) -> bool:
    return weight.weight.device.type == "cpu" and native.is_available()


class PackedLinear(QuantizedLinear):
    """Linear layer over panels of 8-bit or 4-bit weights.

    Args:
        weight: of 8 or 4 bits, its columns filled up to whole blocks.
        in_features: columns, without those that fill the last block.
        bias: ``[out]`` or None.
    """

    def __init__(self, weight: Panels, bias: nn.Parameter | None, *, in_features: int) -> None:
        super().__init__(in_features, weight.num_out, bias)
        self.panels = weight
        if _has_loops(weight) and in_features == weight.num_in:
            self.matrix = weight

    def multiply(self, x: torch.Tensor) -> torch.Tensor:
        result = product(self.panels, x)
        if self.bias is not None:
            result = result.add_(self.bias)
        return result.to(x.dtype)

    @property
    def stored_as(self) -> str:
        return f"int{self.panels.bits}"

    @property
    def scheme(self) -> str:
        bits = self.panels.bits
        return f"int{bits} (W{bits}A{8 if _has_loops(self.panels) else 16})"

    def stored_bytes(self) -> Mapping[str, int]:
        return {self.stored_as: self.panels.weight.nbytes, "scales": self.panels.scale.nbytes}


class PackedEmbedding(nn.Module):
    """Stand-in for an ``nn.Embedding``; each row is dequantised as it is looked up.

    Args:
        weight: a row for each token.
        dtype: of the rows that it gives.
        factor: rows are multiplied by it, as Gemma's embedding does; in ``dtype``.
    """

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
