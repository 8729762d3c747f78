"""fp8, FP8_DYNAMIC: weights and activations in 8-bit floating point (E4M3). "float-quantized".

A scale for each output row; activations get one for each token as they come. For GPUs: no CPU
engine here computes with it.
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

LEVELS = 448.0
"""The largest number of E4M3 (OCP 8-bit floating point, revision 1.0, §5.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fp8:
    """The Quantizer; see the head of this module."""

    method: Method = Method.RTN
    scheme: QuantScheme = QuantScheme.FP8
    form: Form = BY_ROW

    def form_of(self, linear: Linear) -> Form:
        return self.form

    def fault(self, linear: Linear) -> str | None:
        return None

    def stored(self, linear: Linear) -> tuple[Stored, ...]:
        return (
            Stored(suffix="weight", dtype="F8_E4M3", shape=(linear.num_out, linear.num_in)),
            Stored(suffix="weight_scale", dtype=linear.dtype, shape=(linear.num_out, 1)),
        )

    def quantise(self, rows: torch.Tensor, linear: Linear) -> dict[str, torch.Tensor]:
        dtype = TORCH[linear.dtype]
        if self.method is Method.SEARCH:
            scale = searched(rows, LEVELS, dtype, _round)
        else:
            scale = from_largest(rows, LEVELS, dtype)
        return {"weight": _stored(rows / scale), "weight_scale": scale.to(dtype)}

    def dequantise(self, parts: Mapping[str, torch.Tensor], linear: Linear) -> torch.Tensor:
        return parts["weight"].float().mul_(parts["weight_scale"].float())

    def config(self, layers: Sequence[Linear], ignore: Sequence[str]) -> dict[str, Any]:
        return compressed.document(
            layout="float-quantized",
            kind="float",
            form=self.form,
            layers=layers,
            ignore=ignore,
            has_activations=True,
        )


def _stored(values: torch.Tensor) -> torch.Tensor:
    # Beyond the largest number E4M3 has only NaN.
    return values.clamp_(-LEVELS, LEVELS).to(torch.float8_e4m3fn)


def _round(values: torch.Tensor) -> torch.Tensor:
    return _stored(values).float()


def make(options: Options) -> Fp8:
    """The scheme; it has no groups."""
    return Fp8(method=options.method)
