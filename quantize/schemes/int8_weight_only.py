"""int8-weight-only, W8A16: weights in 8 bits, activations as they are. "pack-quantized".

A scale for each output row; four weights of a row in a 32-bit word, as vLLM's weight-only kernels
load them.
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
from quantize.schemes.int8 import integers_of

NUM_BITS = 8
_PER_WORD = 32 // NUM_BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8WeightOnly:
    """The Quantizer; see the head of this module."""

    method: Method = Method.RTN
    scheme: QuantScheme = QuantScheme.INT8_WEIGHT_ONLY
    group_size: int | None = None

    def fault(self, linear: Linear, num_in: int) -> str | None:
        if num_in % _PER_WORD:
            return f"a word of {_PER_WORD} does not divide its {num_in} columns"
        return None

    def stored(self, linear: Linear) -> tuple[Stored, ...]:
        words = (linear.num_out, linear.num_in // _PER_WORD)
        return (
            Stored(suffix="weight_packed", dtype="I32", shape=words),
            Stored(suffix="weight_scale", dtype=linear.dtype, shape=(linear.num_out, 1)),
            Stored(suffix="weight_shape", dtype="I64", shape=(2,), is_by_row=False),
        )

    def quantise(self, rows: torch.Tensor, linear: Linear) -> dict[str, torch.Tensor]:
        integers, scale = integers_of(rows, TORCH[linear.dtype], self.method)
        return {
            "weight_packed": pack(integers, NUM_BITS),
            "weight_scale": scale.to(TORCH[linear.dtype]),
            "weight_shape": torch.tensor([linear.num_out, linear.num_in]),
        }

    def dequantise(self, parts: Mapping[str, torch.Tensor], num_in: int) -> torch.Tensor:
        return unpack(parts["weight_packed"], NUM_BITS).float().mul_(parts["weight_scale"].float())

    def config(self, ignore: Sequence[str]) -> dict[str, Any]:
        return compressed.document(
            layout="pack-quantized",
            num_bits=NUM_BITS,
            kind="int",
            group_size=None,
            ignore=ignore,
        )


def make(options: Options) -> Int8WeightOnly:
    """The scheme; it has no groups."""
    return Int8WeightOnly(method=options.method)
