"""What a checkpoint stores of a matrix, in the panels that the engine's loops read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn

from serve.engine.batching.loops import panels
from serve.engine.batching.loops.panels import BLOCK, Panels
from serve.engine.batching.packed_linear import PackedLinear


@dataclass(frozen=True, slots=True, kw_only=True)
class Integers:
    """A matrix of ``(weight - zero) * scale``.

    Attributes:
        bits: of a weight.
        weight: ``[out, in]``: of 8 bits int8, and zero is 0; of 4 bits uint8 in [0, 15].
        scale: ``[out, groups]``.
        zeros: of 4 bits, uint8 ``[out, groups]`` in [0, 15]; None: 8 means zero.
    """

    bits: Literal[8, 4]
    weight: torch.Tensor
    scale: torch.Tensor
    zeros: torch.Tensor | None = None

    def panels(self) -> Panels:
        """With columns of zero up to whole blocks of 32.

        Raises:
            ValueError: its groups are no whole blocks.
        """
        if self.bits == 8:
            return panels.of_int8(_filled(self.weight, 0), self.scale)
        return panels.of_int4(_filled(self.weight, 8), self.scale, self.zeros)

    def linear(self, bias: nn.Parameter | None) -> PackedLinear:
        """A layer of it. Raises ValueError as ``panels`` does."""
        return PackedLinear(self.panels(), bias, in_features=self.weight.shape[1])


def joined(parts: list[Integers]) -> Integers | None:
    """One matrix of all their outputs; None where they are not stored alike."""
    first = parts[0]
    is_alike = all(
        (part.bits, part.weight.shape[1], part.scale.shape[1], part.zeros is None)
        == (first.bits, first.weight.shape[1], first.scale.shape[1], first.zeros is None)
        for part in parts
    )
    if not is_alike:
        return None
    zeros = [part.zeros for part in parts if part.zeros is not None]
    return replace(
        first,
        weight=torch.cat([part.weight for part in parts]),
        scale=torch.cat([part.scale for part in parts]),
        zeros=torch.cat(zeros) if zeros else None,
    )


def _filled(weight: torch.Tensor, zero: int) -> torch.Tensor:
    return nn.functional.pad(weight, (0, -weight.shape[1] % BLOCK), value=zero)
