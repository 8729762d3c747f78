"""int8-w8a8, fp8 and bnb-int8: one scale for each output row."""

from __future__ import annotations

import pytest
import torch
from bitsandbytes import functional
from hypothesis import given

from models.refs import QuantScheme
from quantize.errors import OptionError
from quantize.protocol import Method
from quantize.schemes.by_row import FLOATS, INTEGERS
from tests.contracts.quantizer import (
    QuantizerContract,
    linear,
    matrices,
    quantizer_of,
    random_rows,
)


class TestInt8W8A8(QuantizerContract):
    scheme = QuantScheme.INT8_W8A8
    most_error = 1e-4


class TestFp8(QuantizerContract):
    scheme = QuantScheme.FP8
    most_error = 1e-3


class TestBnbInt8(QuantizerContract):
    scheme = QuantScheme.BNB_INT8
    methods = (Method.RTN,)
    scale = "SCB"
    most_error = 1e-4


@given(matrix=matrices())
def test_no_weight_moves_more_than_half_a_step(matrix):
    weights, dtype = matrix
    quantizer = quantizer_of(QuantScheme.INT8_W8A8)
    layer = linear(quantizer, len(weights), dtype)
    parts = quantizer.quantise(weights, layer)
    error = (quantizer.dequantise(parts, layer) - weights).abs()
    assert (error <= parts["weight_scale"].float() * 0.51).all()


@given(matrix=matrices())
def test_fp8_keeps_three_bits_of_each_weight(matrix):
    weights, dtype = matrix
    quantizer = quantizer_of(QuantScheme.FP8)
    layer = linear(quantizer, len(weights), dtype)
    parts = quantizer.quantise(weights, layer)
    error = (quantizer.dequantise(parts, layer) - weights).abs()
    least = parts["weight_scale"].float() * 2.0**-10  # half of the smallest subnormal
    assert (error <= torch.maximum(weights.abs() * 2.0**-4 * 1.1, least * 1.01)).all()


@pytest.mark.parametrize(("numbers", "largest"), [(INTEGERS, 127), (FLOATS, 448)])
def test_what_is_too_large_becomes_the_largest_and_no_other_number(numbers, largest):
    values = torch.tensor([-1e4, -largest - 0.6, largest + 0.6, 1e4])
    assert numbers.round_(values).tolist() == [-largest, -largest, largest, largest]


@pytest.mark.parametrize("scheme", [QuantScheme.INT8_W8A8, QuantScheme.BNB_INT8])
def test_the_least_integer_is_left_out(scheme):
    quantizer = quantizer_of(scheme)
    rows = torch.tensor([[-1.0, 1.0, 0.5, 0.0]])
    weight = quantizer.quantise(rows, linear(quantizer, 1, num_in=4))["weight"]
    assert (int(weight.min()), int(weight.max())) == (-127, 127)


def test_no_number_of_columns_is_a_fault():
    quantizer = quantizer_of(QuantScheme.INT8_W8A8)
    assert quantizer.fault(linear(quantizer, 4, num_in=7)) is None


@pytest.mark.parametrize(
    ("scheme", "kind"), [(QuantScheme.INT8_W8A8, "int"), (QuantScheme.FP8, "float")]
)
def test_activations_have_8_bits_by_token(scheme, kind):
    table = quantizer_of(scheme).config([], [])
    assert table["format"] == f"{kind}-quantized"
    group = table["config_groups"]["group_0"]
    assert (group["weights"]["type"], group["weights"]["strategy"]) == (kind, "channel")
    assert group["input_activations"]["strategy"] == "token"
    assert group["input_activations"]["dynamic"] is True


def test_bitsandbytes_stores_the_same_integers():
    rows = random_rows(1)
    quantizer = quantizer_of(QuantScheme.BNB_INT8)
    parts = quantizer.quantise(rows, linear(quantizer, 96, "F32"))
    theirs, scb, _ = functional.int8_vectorwise_quant(rows.half())
    assert torch.allclose(parts["SCB"], scb.float(), rtol=1e-3)
    assert (parts["weight"].int() - theirs.int()).abs().max() <= 1


def test_bnb_int8_is_not_searched():
    with pytest.raises(OptionError, match="--method rtn"):
        quantizer_of(QuantScheme.BNB_INT8, Method.SEARCH)
