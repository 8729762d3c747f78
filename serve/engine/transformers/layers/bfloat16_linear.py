"""bfloat16 linear layers on a CPU.

A few rows, where reading the weights is what takes time, go through a loop of our own: torch's
product over a plain weight reaches a quarter to a half of the memory's speed (docs/lab-notes.md).
Many are multiplied by torch where the processor multiplies bfloat16, in few sizes (``sizes.py``);
on one with AVX2 alone torch computes one number at a time, and tiles of weights are widened to
float32 on their way through the cache instead (``tiles.py``). The weight itself stays as it is, so
a tied head shares its embedding's.
"""

from __future__ import annotations

import torch
from torch import nn

from serve.engine.transformers.kernels import stored_matrix
from serve.engine.transformers.layers import sizes, tiles


class BFloat16Linear(nn.Linear):
    """Stand-in for an ``nn.Linear``, with its very parameters."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=False, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.matrix = stored_matrix.of_linear(linear)
        self._is_fast_in_torch = tiles.has_bfloat16_products()

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [..., in] -> [..., out]
        rows = x.reshape(-1, self.in_features)
        result = None if self.matrix is None else stored_matrix.multiply(self.matrix, rows)
        if result is None and self._is_fast_in_torch:
            result = super().forward(sizes.filled(rows))[: len(rows)]
            return result.view(*x.shape[:-1], self.out_features)
        if result is None:
            result = tiles.multiply(
                rows, self.out_features, lambda start, stop: self.weight[start:stop]
            )
        if self.bias is not None:
            result.add_(self.bias)
        return result.to(x.dtype).view(*x.shape[:-1], self.out_features)


def install(model: nn.Module) -> int:
    """Replace every bfloat16 ``nn.Linear`` in place; returns how many there were."""
    num_replaced = 0
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear and child.weight.dtype == torch.bfloat16:
                setattr(parent, name, BFloat16Linear(child))
                num_replaced += 1
    return num_replaced
