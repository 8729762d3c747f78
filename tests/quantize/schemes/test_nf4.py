"""nf4 against bitsandbytes itself: what we store, its own layers compute with."""

from __future__ import annotations

import json

import bitsandbytes
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.refs import QuantScheme
from quantize.errors import OptionError
from quantize.formats import bnb
from quantize.formats.forms import Linear
from quantize.protocol import Method
from quantize.schemes.nf4 import STATE
from tests.contracts.quantizer import QuantizerContract, linear, quantizer_of, random_rows


class TestNf4(QuantizerContract):
    scheme = QuantScheme.NF4
    methods = (Method.RTN,)
    scale = None  # a block's largest weight, which may be 0
    most_error = 0.01


@given(st.integers(0, 1000), st.integers(1, 95))
@settings(max_examples=20, deadline=None)
def test_rows_are_quantised_each_on_their_own(seed: int, cut: int) -> None:
    rows = random_rows(seed)
    for name in (QuantScheme.NF4, QuantScheme.BNB_INT8):
        scheme = quantizer_of(name)
        layer = linear(scheme, len(rows))
        whole = scheme.quantise(rows, layer)
        first, second = (scheme.quantise(part, layer) for part in (rows[:cut], rows[cut:]))
        for stored in scheme.stored(layer):
            joined = (first[stored.suffix], second[stored.suffix])
            if stored.is_by_row:
                assert torch.equal(torch.cat(joined), whole[stored.suffix])


def test_bitsandbytes_layers_compute_with_what_we_store() -> None:
    rows, x = random_rows(1), random_rows(2, 5)
    quantizer = quantizer_of(QuantScheme.NF4)
    parts = quantizer.quantise(rows, linear(quantizer, 96, "F32"))
    layer = bitsandbytes.nn.Linear4bit(128, 96, bias=False, quant_type="nf4")
    layer.weight = bitsandbytes.nn.Params4bit.from_prequantized(
        parts.pop("weight"),
        {name.removeprefix("weight."): part for name, part in parts.items()},
        requires_grad=False,
        device="cpu",
    )
    again = quantizer.quantise(rows, linear(quantizer, 96))
    want = x @ quantizer.dequantise(again, linear(quantizer, 96)).T
    assert torch.allclose(layer(x), want, rtol=1e-4, atol=1e-4)


def test_the_levels_are_those_that_are_stored() -> None:
    quantizer = quantizer_of(QuantScheme.NF4)
    stored = quantizer.quantise(random_rows(4), linear(quantizer, 96))["weight.quant_map"]
    assert torch.equal(stored, bnb.levels(torch.device("cpu")))


@pytest.mark.parametrize("dtype", ["BF16", "F32", "F16"])
def test_the_state_says_type_and_shape(dtype: str) -> None:
    quantizer = quantizer_of(QuantScheme.NF4)
    rows = random_rows(0)
    parts = quantizer.quantise(rows[:8], linear(quantizer, 96, dtype))
    state = json.loads(bytes(parts[STATE].tolist()))
    assert state["shape"] == [96, 128]  # of the whole matrix, whatever rows it came with
    assert state["dtype"] == {"BF16": "bfloat16", "F32": "float32", "F16": "float16"}[dtype]


def test_what_cannot_be_is_refused() -> None:
    odd = Linear(name="m", num_out=8, num_in=96, dtype="BF16")
    assert "block of 64" in (quantizer_of(QuantScheme.NF4).fault(odd) or "")
    with pytest.raises(OptionError, match="--method rtn"):
        quantizer_of(QuantScheme.NF4, Method.SEARCH)
