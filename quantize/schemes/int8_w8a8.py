"""int8-w8a8, W8A8: weights and activations in 8 bits. "int-quantized" of compressed-tensors.

A scale for each output row; activations get one for each token as they come. Weights are in
[-127, 127]: with -128 left out, negating one never overflows in a kernel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from models.refs import QuantScheme
from quantize.formats import compressed
from quantize.formats.dtypes import TORCH
from quantize.formats.scales import from_largest, searched
from quantize.protocol import BY_ROW, Form, Linear, Method, Options, Stored

LEVELS = 127


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8W8A8:
    """The Quantizer; see the head of this module."""

    method: Method = Method.RTN
    scheme: QuantScheme = QuantScheme.INT8_W8A8
    form: Form = BY_ROW

    def form_of(self, linear: Linear) -> Form:
        return self.form

    def fault(self, linear: Linear) -> str | None:
        return None

    def stored(self, linear: Linear) -> tuple[Stored, ...]:
        return (
            Stored(suffix="weight", dtype="I8", shape=(linear.num_out, linear.num_in)),
            Stored(suffix="weight_scale", dtype=linear.dtype, shape=(linear.num_out, 1)),
        )

    def quantise(self, rows: torch.Tensor, linear: Linear) -> dict[str, torch.Tensor]:
        integers, scale = integers_of(rows, TORCH[linear.dtype], self.method)
        return {"weight": integers, "weight_scale": scale.to(TORCH[linear.dtype])}

    def dequantise(self, parts: Mapping[str, torch.Tensor], linear: Linear) -> torch.Tensor:
        return parts["weight"].float().mul_(parts["weight_scale"].float())

    def config(self, layers: Sequence[Linear], ignore: Sequence[str]) -> dict[str, Any]:
        return compressed.document(
            layout="int-quantized",
            kind="int",
            form=self.form,
            layers=layers,
            ignore=ignore,
            has_activations=True,
        )


def integers_of(
    rows: torch.Tensor, dtype: torch.dtype, method: Method
) -> tuple[torch.Tensor, torch.Tensor]:
    """int8 ``[n, num_in]`` and their float32 scales ``[n, 1]``.

    Raises:
        BadWeightsError: NaN or infinity.
    """
    if method is Method.SEARCH:
        scale = searched(rows, LEVELS, dtype, _round)
    else:
        scale = from_largest(rows, LEVELS, dtype)
    return _round(rows / scale).to(torch.int8), scale


def _round(values: torch.Tensor) -> torch.Tensor:
    return values.round_().clamp_(-LEVELS, LEVELS)


def make(options: Options) -> Int8W8A8:
    """The scheme; it has no groups."""
    return Int8W8A8(method=options.method)
