"""bfloat16 linear layers on a processor that does not multiply bfloat16 (AVX2 alone).

torch's own product is well enough for a row or two, where reading the weights is what takes time;
for more it computes one number at a time. Here tiles of weights are widened to float32 on their way
through the cache (``tiles.py``): the products are more exact, and several times as fast. The weight
itself stays as it is, so a tied head shares its embedding's.
"""

from __future__ import annotations

import torch
from torch import nn

from serve.engine.batching import few_rows, tiles

_FEW_ROWS = 8


class WidenedLinear(nn.Linear):
    """Stands in for an ``nn.Linear``, with its very parameters."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=False, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.matrix = few_rows.of_linear(linear)

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [..., in] -> [..., out]
        rows = x.reshape(-1, self.in_features)
        if len(rows) <= _FEW_ROWS and self.matrix is not None:
            result = few_rows.multiply(self.matrix, rows)
        else:
            result = tiles.multiply(rows, self.out_features, lambda a, b: self.weight[a:b])
        if self.bias is not None:
            result.add_(self.bias)
        return result.to(x.dtype).view(*x.shape[:-1], self.out_features)


def widen(model: nn.Module) -> int:
    """Replace every bfloat16 ``nn.Linear`` in place; returns how many there were."""
    num = 0
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear and child.weight.dtype == torch.bfloat16:
                setattr(parent, name, WidenedLinear(child))
                num += 1
    return num
