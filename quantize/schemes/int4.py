"""int4, W4A16: weights in 4 bits, a scale for each group of a row. "pack-quantized", eight weights
in a 32-bit word.

Integers are in [-8, 7]. The scale is the largest weight over 7.5, as compressed-tensors' own: the
half step that the largest positive weight may lose buys all others a finer step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from models.refs import QuantScheme
from quantize import compressed
from quantize.dtypes import TORCH
from quantize.packing import pack, unpack
from quantize.protocol import Linear, Method, Options, Stored
from quantize.scales import from_largest, searched

NUM_BITS = 4
LEVELS = 7.5
_PER_WORD = 32 // NUM_BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Int4:
    """The Quantizer; see the head of this module.

    Attributes:
        group_size: None where each row has one scale.
    """

    method: Method = Method.RTN
    scheme: QuantScheme = QuantScheme.INT4
    group_size: int | None = 128

    def fault(self, linear: Linear, num_in: int) -> str | None:
        unit = self.group_size or _PER_WORD
        if num_in % unit:
            return (
                f"{'a group of ' if self.group_size else ''}{unit} does not divide {num_in} columns"
            )
        return None

    def stored(self, linear: Linear) -> tuple[Stored, ...]:
        groups = linear.num_in // (self.group_size or linear.num_in)
        words = (linear.num_out, linear.num_in // _PER_WORD)
        return (
            Stored(suffix="weight_packed", dtype="I32", shape=words),
            Stored(suffix="weight_scale", dtype=linear.dtype, shape=(linear.num_out, groups)),
            Stored(suffix="weight_shape", dtype="I64", shape=(2,), is_by_row=False),
        )

    def quantise(self, rows: torch.Tensor, linear: Linear) -> dict[str, torch.Tensor]:
        dtype = TORCH[linear.dtype]
        grouped = rows.view(len(rows), -1, self.group_size or linear.num_in)
        if self.method is Method.SEARCH:
            scale = searched(grouped, LEVELS, dtype, _round)
        else:
            scale = from_largest(grouped, LEVELS, dtype)
        integers = _round(grouped / scale).to(torch.int8).view(rows.shape)
        return {
            "weight_packed": pack(integers, NUM_BITS),
            "weight_scale": scale.squeeze(-1).to(dtype),
            "weight_shape": torch.tensor([linear.num_out, linear.num_in]),
        }

    def dequantise(self, parts: Mapping[str, torch.Tensor], num_in: int) -> torch.Tensor:
        integers = unpack(parts["weight_packed"], NUM_BITS).float()
        scale = parts["weight_scale"].float().unsqueeze(-1)
        return integers.view(*scale.shape[:2], -1).mul_(scale).view(-1, num_in)

    def config(self, ignore: Sequence[str]) -> dict[str, Any]:
        return compressed.document(
            layout="pack-quantized",
            num_bits=NUM_BITS,
            kind="int",
            group_size=self.group_size,
            ignore=ignore,
        )


def _round(values: torch.Tensor) -> torch.Tensor:
    return values.round_().clamp_(-8, 7)


def make(options: Options) -> Int4:
    """The scheme."""
    return Int4(method=options.method, group_size=options.group_size)
