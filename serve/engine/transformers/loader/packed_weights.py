"""A checkpoint's packed matrices, unpacked and laid out in the panels that the loops read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn

from serve.engine.transformers.kernels import panels
from serve.engine.transformers.kernels.panels import BLOCK, Panels
from serve.engine.transformers.layers.packed_linear import PackedLinear


@dataclass(frozen=True, slots=True, kw_only=True)
class Integers:
    """A matrix of ``(weight - zero) * scale``; where there are no zero points, half of the range.

    Attributes:
        bits: of a weight.
        weight: uint8 ``[out, in]``, of 4 bits in [0, 15].
        scale: ``[out, groups]``.
        zeros: of 4 bits, uint8 ``[out, groups]`` in [0, 15]; or None.
    """

    bits: Literal[8, 4]
    weight: torch.Tensor
    scale: torch.Tensor
    zeros: torch.Tensor | None = None

    def panels(self) -> Panels:
        """The panels, with columns of zero up to whole blocks of 32.

        Raises:
            ValueError: its groups are no whole blocks.
        """
        missing = -self.weight.shape[1] % BLOCK
        half = 1 << (self.bits - 1)
        weight = (
            nn.functional.pad(self.weight, (0, missing), value=half) if missing else self.weight
        )
        if self.bits == 8:
            return panels.of_int8(weight, self.scale)
        return panels.of_int4(weight, self.scale, self.zeros)

    def linear(self, bias: nn.Parameter | None) -> PackedLinear:
        """A layer of the matrix. Raises ValueError as ``panels`` does."""
        return PackedLinear(self.panels(), bias, in_features=self.weight.shape[1])


def join(parts: list[Integers]) -> Integers | None:
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


def as_unsigned(weight: torch.Tensor) -> torch.Tensor:
    """int8 as uint8, each plus 128: the top bit turned over."""
    return weight.view(torch.uint8) ^ 128


def of_zero_words(words: torch.Tensor, num_out: int) -> torch.Tensor:
    """uint8 ``[out, groups]`` of words ``[out / 8, groups]``, the first output in low bits."""
    values = torch.stack([(words >> (4 * place)) & 15 for place in range(8)], 1)
    return values.flatten(0, 1)[:num_out].to(torch.uint8)


def of_words(words: torch.Tensor, bits: Literal[8, 4], num_in: int) -> torch.Tensor:
    """uint8 ``[out, in]`` of 32-bit words ``[out, in * bits / 32]``, the first in low bits."""
    stored = words.contiguous().view(torch.uint8)
    if bits == 4:
        stored = torch.stack((stored & 15, stored >> 4), -1).flatten(1)
    return stored[:, :num_in]
