"""bnb-int8: 8 bits with a scale for each row, as bitsandbytes stores them (LLM.int8).

Dettmers et al., 2022, without its outliers: their threshold is 0, so that no column is computed in
16 bits. Which columns those are would depend on what else is in a batch, and so would an answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from models.refs import QuantScheme
from quantize.errors import OptionError
from quantize.protocol import BY_ROW, Form, Linear, Method, Options, Stored
from quantize.schemes.int8_w8a8 import LEVELS, integers_of


@dataclass(frozen=True, slots=True, kw_only=True)
class BnbInt8:
    """The Quantizer; see the head of this module. ``SCB`` is a row's largest weight."""

    method: Method = Method.RTN
    scheme: QuantScheme = QuantScheme.BNB_INT8
    form: Form = BY_ROW

    def form_of(self, linear: Linear) -> Form:
        return self.form

    def fault(self, linear: Linear) -> str | None:
        return None

    def stored(self, linear: Linear) -> tuple[Stored, ...]:
        return (
            Stored(suffix="weight", dtype="I8", shape=(linear.num_out, linear.num_in)),
            Stored(suffix="SCB", dtype="F32", shape=(linear.num_out,)),
            Stored(suffix="weight_format", dtype="U8", shape=(), is_by_row=False),
        )

    def quantise(self, rows: torch.Tensor, linear: Linear) -> dict[str, torch.Tensor]:
        integers, scale = integers_of(rows, torch.float32, self.method)
        return {
            "weight": integers,
            "SCB": (scale * LEVELS).squeeze(-1),
            "weight_format": torch.zeros((), dtype=torch.uint8),  # row by row
        }

    def dequantise(self, parts: Mapping[str, torch.Tensor], linear: Linear) -> torch.Tensor:
        return parts["weight"].float() * (parts["SCB"] / LEVELS).unsqueeze(-1)

    def config(self, layers: Sequence[Linear], ignore: Sequence[str]) -> dict[str, Any]:
        return {
            "quant_method": "bitsandbytes",
            "load_in_4bit": False,
            "load_in_8bit": True,
            "llm_int8_threshold": 0.0,
            "llm_int8_has_fp16_weight": False,
            "llm_int8_skip_modules": list(ignore),
        }


def make(options: Options) -> BnbInt8:
    """The scheme; it has no groups.

    Raises:
        OptionError: a search is asked for.
    """
    if options.method is not Method.RTN:
        raise OptionError("bnb-int8 takes its scales from the largest weight: --method rtn.")
    return BnbInt8()
