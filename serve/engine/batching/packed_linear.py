"""Linear layers whose bfloat16 weights are stored as oneDNN reads them.

A decode step reads every weight once for a handful of rows: it is bound by memory. oneDNN's
product over a plain ``[out, in]`` weight streams it in the wrong order and reaches about half of
the memory's speed; over its own blocked layout it reaches nearly all of it (ADR 0003 has figures).
The result is the same product. The operators are the ones that torch.compile's CPU backend emits
(``torch._inductor.fx_passes.mkldnn_fusion``); where they are missing, nothing is packed.
"""

from __future__ import annotations

import torch
from torch import nn

from serve.engine.batching import tiles


class PackedLinear(nn.Module):
    """Stands in for an ``nn.Linear``. It has no ``weight``: the packed one is opaque."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features = linear.in_features
        self.out_features = linear.out_features
        self.packed_weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())  # noqa: SLF001
        self.bias = linear.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [..., in] -> [..., out]
        result: torch.Tensor = torch.ops.mkldnn._linear_pointwise(  # noqa: SLF001
            x, self.packed_weight, self.bias, "none", [], ""
        )
        return result

    @property
    def packed_bytes(self) -> int:
        return self.in_features * self.out_features * torch.bfloat16.itemsize


def can_pack(model: nn.Module) -> bool:
    """Whether this build and this processor have the operators, and the model is on the CPU."""
    operators = torch.ops.mkldnn
    return (
        hasattr(operators, "_reorder_linear_weight")
        and hasattr(operators, "_linear_pointwise")
        and tiles.has_bfloat16_products()
        and next(model.parameters()).device.type == "cpu"
    )


def pack(model: nn.Module) -> int:
    """Replace every bfloat16 ``nn.Linear`` in place, one at a time, freeing as it goes.

    A tied output head is packed too and its embedding stays, so those bytes are held twice.

    Returns:
        how many layers were packed.
    """
    if not can_pack(model):
        return 0
    num_packed = 0
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            # Subclasses may do more in their forward than a product.
            if type(child) is nn.Linear and child.weight.dtype == torch.bfloat16:
                setattr(parent, name, PackedLinear(child))
                num_packed += 1
    return num_packed


def resident_bytes(model: nn.Module) -> int:
    """Bytes of all parameters and packed weights."""
    plain = sum(parameter.nbytes for parameter in model.parameters())
    packed = (m.packed_bytes for m in model.modules() if isinstance(m, PackedLinear))
    return plain + sum(packed)
