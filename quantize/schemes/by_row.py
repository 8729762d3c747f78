"""int8-w8a8, fp8 and bnb-int8: weights in 8 bits, a scale for each output row.

::

    int8-w8a8  "int-quantized" of compressed-tensors; activations in 8 bits too (W8A8)
    fp8        "float-quantized", FP8_DYNAMIC: the same in 8-bit floating point (E4M3). For GPUs:
               no CPU engine here computes with it
    bnb-int8   the integers of int8-w8a8 as bitsandbytes stores them (LLM.int8)

Activations get a scale for each token as they come. bnb-int8 is Dettmers et al., 2022, without its
outliers: their threshold is 0, so that no column is computed in 16 bits. Which columns those are
would depend on what else is in a batch, and so would an answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from models.refs import QuantScheme
from quantize.errors import OptionError
from quantize.formats import compressed
from quantize.formats.forms import BY_ROW, TORCH, Form, Linear, StoredTensor
from quantize.formats.scales import Round, from_largest, searched
from quantize.protocol import Method, SchemeOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """A kind of number in 8 bits.

    Attributes:
        dtype: safetensors' word.
        kind: compressed-tensors' word.
        largest: that is stored.
        round_: to the nearest that can be stored, still float32; overwrites its argument.
    """

    dtype: str
    kind: str
    largest: float
    round_: Round

    def quantise(
        self, rows: torch.Tensor, dtype: torch.dtype, method: Method
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The stored numbers ``[n, num_in]`` and their scales, float32 ``[n, 1]``.

        Args:
            rows: float32 ``[n, num_in]``.
            dtype: in which scales are stored.
            method: round-to-nearest or the search.

        Raises:
            BadWeightsError: NaN or infinity.
        """
        if method is Method.SEARCH:
            scale = searched(rows, self.largest, dtype, self.round_)
        else:
            scale = from_largest(rows, self.largest, dtype)
        return self.round_(rows / scale).to(TORCH[self.dtype]), scale


def _round_integers(values: torch.Tensor) -> torch.Tensor:
    # With -128 left out, negating one never overflows in a kernel.
    return values.round_().clamp_(-127, 127)


def _round_floats(values: torch.Tensor) -> torch.Tensor:
    # Beyond the largest number E4M3 has only NaN.
    return values.clamp_(-448, 448).to(torch.float8_e4m3fn).float()


INTEGERS = Numbers(dtype="I8", kind="int", largest=127.0, round_=_round_integers)
FLOATS = Numbers(dtype="F8_E4M3", kind="float", largest=448.0, round_=_round_floats)
"""The largest of E4M3: OCP 8-bit floating point, revision 1.0, §5.1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ByRow:
    """The Quantizer of int8-w8a8 and fp8; see the head of this module."""

    scheme: QuantScheme
    numbers: Numbers
    method: Method = Method.RTN
    form: Form = BY_ROW

    def form_of(self, linear: Linear) -> Form:
        return self.form

    def fault(self, linear: Linear) -> str | None:
        return None

    def stored(self, linear: Linear) -> tuple[StoredTensor, ...]:
        shape = (linear.num_out, linear.num_in)
        return (
            StoredTensor(suffix="weight", dtype=self.numbers.dtype, shape=shape),
            StoredTensor(suffix="weight_scale", dtype=linear.dtype, shape=(linear.num_out, 1)),
        )

    def quantise(self, rows: torch.Tensor, linear: Linear) -> dict[str, torch.Tensor]:
        dtype = TORCH[linear.dtype]
        weight, scale = self.numbers.quantise(rows, dtype, self.method)
        return {"weight": weight, "weight_scale": scale.to(dtype)}

    def dequantise(self, parts: Mapping[str, torch.Tensor], linear: Linear) -> torch.Tensor:
        return parts["weight"].float().mul_(parts["weight_scale"].float())

    def config(self, layers: Sequence[Linear], ignore: Sequence[str]) -> dict[str, Any]:
        return compressed.document(
            layout=f"{self.numbers.kind}-quantized",
            kind=self.numbers.kind,
            form=self.form,
            layers=layers,
            ignore=ignore,
            has_activations=True,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BnbInt8(ByRow):
    """The Quantizer of bnb-int8. ``SCB`` is a row's largest weight, float32."""

    def stored(self, linear: Linear) -> tuple[StoredTensor, ...]:
        return (
            StoredTensor(suffix="weight", dtype="I8", shape=(linear.num_out, linear.num_in)),
            StoredTensor(suffix="SCB", dtype="F32", shape=(linear.num_out,)),
            StoredTensor(suffix="weight_format", dtype="U8", shape=(), is_by_row=False),
        )

    def quantise(self, rows: torch.Tensor, linear: Linear) -> dict[str, torch.Tensor]:
        weight, scale = self.numbers.quantise(rows, torch.float32, self.method)
        return {
            "weight": weight,
            "SCB": (scale * self.numbers.largest).squeeze(-1),
            "weight_format": torch.zeros((), dtype=torch.uint8),  # row by row
        }

    def dequantise(self, parts: Mapping[str, torch.Tensor], linear: Linear) -> torch.Tensor:
        return parts["weight"].float() * (parts["SCB"] / self.numbers.largest).unsqueeze(-1)

    def config(self, layers: Sequence[Linear], ignore: Sequence[str]) -> dict[str, Any]:
        return {
            "quant_method": "bitsandbytes",
            "load_in_4bit": False,
            "load_in_8bit": True,
            "llm_int8_threshold": 0.0,
            "llm_int8_has_fp16_weight": False,
            "llm_int8_skip_modules": list(ignore),
        }


def make(scheme: QuantScheme, options: SchemeOptions) -> ByRow:
    """The scheme; it has no groups.

    Raises:
        OptionError: bnb-int8 is to be searched.
    """
    if scheme is not QuantScheme.BNB_INT8:
        numbers = FLOATS if scheme is QuantScheme.FP8 else INTEGERS
        return ByRow(scheme=scheme, numbers=numbers, method=options.method)
    if options.method is not Method.RTN:
        raise OptionError("bnb-int8 takes its scales from the largest weight: --method rtn.")
    return BnbInt8(scheme=scheme, numbers=INTEGERS)
