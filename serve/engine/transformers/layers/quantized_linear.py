"""The base of every linear layer over quantised weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import nn

from serve.engine.transformers.kernels.panels import Panels


class QuantizedLinear(nn.Module, ABC):
    """Stand-in for an ``nn.Linear``. It has no ``weight``: the stored one may be opaque."""

    matrix: Panels | None = None
    """The weights for the compiled step; None where it cannot read them."""

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
    def stored_as(self) -> str:
        """The weights' type: ``int8``, ``int4``, ``nf4``."""

    @property
    @abstractmethod
    def scheme(self) -> str:
        """The arithmetic's name: ``int8 (W8A8)``."""

    @abstractmethod
    def stored_bytes(self) -> Mapping[str, int]:
        """Bytes in memory by type; those of a bias are not among them."""
