"""Linear layers that keep the integers of a quantised checkpoint, and multiply with them.

::

    int8 (W8A8)             x = m/127 · q, q integers in [-127, 127], m the largest |x| of the row
                            y = m/127 · s · (q @ w) + bias;  the sum over integers is exact
    int8-weight-only        x = m/127 · (q + r/254), both integers in [-127, 127], so that x is off
    (W8A16)                 by at most m/64,516; two rows of the same product instead of one
    int4 (W4A16)            y = x @ ((w - 8) · s), s per group of inputs; see int4_linear.py

Rows are quantised each by itself, so a token's result does not depend on what else is in the step.
The products are in ``int8_products.py``; one that takes 16-bit rows needs no second row for W8A16.
The scheme is that of LLM.int8() without its outliers (Dettmers et al. 2022, section 2.1), and of
vLLM's CutlassScaledMM.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import nn

from serve.engine.batching import int8_products
from serve.engine.batching.int8_products import SHIFT, STEPS, IntegerProduct, StoredProduct, sizes
from serve.engine.batching.loops.stored_matrix import Matrix

_SECOND_STEPS = 254.0

_CHUNK = 32
"""Rows quantised at a time, so that what is computed on the way stays in the cache."""


class QuantizedLinear(nn.Module, ABC):
    """Stands in for an ``nn.Linear``. It has no ``weight``: the stored one may be opaque."""

    matrix: Matrix | None = None
    """The weights for the compiled loops; None where they cannot read them."""

    def __init__(self, in_features: int, out_features: int, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.bias = bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # [..., in] -> [..., out]
        if not x.numel():
            return x.new_zeros(*x.shape[:-1], self.out_features)
        return self.multiply(x.reshape(-1, self.in_features)).view(*x.shape[:-1], self.out_features)

    @abstractmethod
    def multiply(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, in]`` to ``[N, out]``, N at least 1."""

    @property
    @abstractmethod
    def scheme(self) -> str:
        """What is computed, in a word: ``int8 (W8A8)``."""

    @abstractmethod
    def stored_bytes(self) -> Mapping[str, int]:
        """Bytes in memory by type; those of a bias are not among them."""


class Int8Linear(QuantizedLinear):
    """Weights of 8 bits, a scale per output. See the module's docstring.

    Args:
        weight: int8 ``[out, in]``; copied into the layout of the product.
        scale: ``[out]`` or ``[out, 1]``.
        bias: ``[out]`` or None.
        quantizes_input: W8A8; else W8A16.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        scale: torch.Tensor,
        bias: nn.Parameter | None,
        *,
        quantizes_input: bool,
    ) -> None:
        super().__init__(weight.shape[1], weight.shape[0], bias)
        self.quantizes_input = quantizes_input
        self._scale_bytes = 4 * self.out_features
        self._product = int8_products.make(
            weight, scale.flatten().float(), in_steps=quantizes_input
        )
        if isinstance(self._product, StoredProduct):
            self.matrix = self._product.matrix

    def multiply(self, x: torch.Tensor) -> torch.Tensor:
        if isinstance(self._product, StoredProduct):
            result = self._product(x)
        else:
            result = self._of_integers(self._product, x)
        if self.bias is not None:
            result = result.add_(self.bias)
        return result.to(x.dtype)

    def _of_integers(self, product: IntegerProduct, x: torch.Tensor) -> torch.Tensor:
        num = len(x)
        largest = x.new_empty(num, 1, dtype=torch.float32)
        rows = x.new_empty(num if self.quantizes_input else 2 * num, x.shape[1], dtype=torch.uint8)
        for start in range(0, num, _CHUNK):
            part = slice(start, min(start + _CHUNK, num))
            largest[part] = size = sizes(x[part])
            scaled = x[part] * (STEPS / size)
            if self.quantizes_input:
                rows[part] = scaled.round_().add_(SHIFT)
            else:
                first = scaled.round()
                second = scaled.sub_(first).mul_(_SECOND_STEPS).round_()
                rows[part] = first.add_(SHIFT)
                rows[num + part.start : num + part.stop] = second.add_(SHIFT)
        result = product(rows, x.dtype if self.quantizes_input else torch.float32)
        if not self.quantizes_input:
            result = result[:num].add_(result[num:], alpha=1 / _SECOND_STEPS)
        return result.mul_(largest)

    @property
    def scheme(self) -> str:
        return "int8 (W8A8)" if self.quantizes_input else "int8 (W8A16)"

    def stored_bytes(self) -> Mapping[str, int]:
        return {"int8": self.in_features * self.out_features, "float32": self._scale_bytes}
