"""nf4: 4 bits in blocks of 64, levels where a normal distribution has its quantiles. bitsandbytes.

The type of QLoRA (Dettmers et al., 2023), stored as transformers stores it: two weights in a byte,
and a float32 maximum for each block. Without double quantisation, which saves 0.4 bits of 4.5 and
costs every read a second look-up. There is nothing to search: a block's largest weight is the
scale.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from models.refs import QuantScheme
from quantize.errors import BadWeightsError, OptionError
from quantize.formats import bnb
from quantize.formats.forms import TORCH, Form, Linear, StoredTensor
from quantize.protocol import Method, SchemeOptions

BLOCK = 64
_FORM = Form(num_bits=4, group_size=BLOCK)
STATE = "weight.quant_state.bitsandbytes__nf4"


@dataclass(frozen=True, slots=True, kw_only=True)
class Nf4:
    """The Quantizer; see the head of this module."""

    method: Method = Method.RTN
    scheme: QuantScheme = QuantScheme.NF4
    form: Form = _FORM

    def form_of(self, linear: Linear) -> Form:
        return self.form

    def fault(self, linear: Linear) -> str | None:
        if linear.num_in % BLOCK:
            return f"its {linear.num_in} columns do not divide by a block of {BLOCK}"
        return None

    def stored(self, linear: Linear) -> tuple[StoredTensor, ...]:
        num_weights = linear.num_weights
        return (
            StoredTensor(suffix="weight", dtype="U8", shape=(num_weights // 2, 1)),
            StoredTensor(suffix="weight.absmax", dtype="F32", shape=(num_weights // BLOCK,)),
            StoredTensor(suffix="weight.quant_map", dtype="F32", shape=(16,), is_by_row=False),
            StoredTensor(suffix=STATE, dtype="U8", shape=(len(_state(linear)),), is_by_row=False),
        )

    def quantise(self, rows: torch.Tensor, linear: Linear) -> dict[str, torch.Tensor]:
        if not torch.isfinite(rows).all():
            raise BadWeightsError("it holds NaN or infinity")
        packed, largest, levels = bnb.quantise(rows, BLOCK)
        return {
            "weight": packed,
            "weight.absmax": largest,
            "weight.quant_map": levels,
            STATE: torch.frombuffer(bytearray(_state(linear)), dtype=torch.uint8),
        }

    def dequantise(self, parts: Mapping[str, torch.Tensor], linear: Linear) -> torch.Tensor:
        packed = parts["weight"]
        shape = (2 * packed.numel() // linear.num_in, linear.num_in)
        return bnb.dequantise(packed, parts["weight.absmax"], shape, BLOCK, torch.float32)

    def config(self, layers: Sequence[Linear], ignore: Sequence[str]) -> dict[str, Any]:
        return {
            "quant_method": "bitsandbytes",
            "load_in_4bit": True,
            "load_in_8bit": False,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": False,
            "bnb_4bit_quant_storage": "uint8",
            "bnb_4bit_compute_dtype": "bfloat16",
            "llm_int8_skip_modules": list(ignore),
        }


def _state(linear: Linear) -> bytes:
    """The facts of a matrix as JSON, as bitsandbytes writes them itself."""
    facts = {
        "quant_type": "nf4",
        "blocksize": BLOCK,
        "dtype": str(TORCH[linear.dtype]).removeprefix("torch."),
        "shape": [linear.num_out, linear.num_in],
    }
    return json.dumps(facts).encode()


def make(scheme: QuantScheme, options: SchemeOptions) -> Nf4:
    """The scheme; its blocks are what they are.

    Raises:
        OptionError: a search is asked for.
    """
    if options.method is not Method.RTN:
        raise OptionError("nf4 has no scales to search: --method rtn.")
    return Nf4(scheme=scheme)
