"""int8, int8-weight-only and int4: forms, steps and zero points."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.refs import QuantScheme
from quantize.errors import OptionError
from quantize.formats.forms import Form, Linear, Part
from quantize.protocol import Method
from tests.contracts.quantizer import (
    COLUMNS,
    QuantizerContract,
    linear,
    matrices,
    quantizer_of,
    through,
)

SCHEMES = (QuantScheme.INT8, QuantScheme.INT8_WEIGHT_ONLY, QuantScheme.INT4)

# Half a step, and what rounding the scale to bfloat16 or float16 adds for the largest weight.
STEPS = {8: 0.51, 4: 0.54}


class TestInt8(QuantizerContract):
    scheme = QuantScheme.INT8
    most_error = 1e-4


class TestInt8WeightOnly(QuantizerContract):
    scheme = QuantScheme.INT8_WEIGHT_ONLY
    most_error = 1e-4


class TestInt4(QuantizerContract):
    scheme = QuantScheme.INT4
    most_error = 0.01


@given(matrix=matrices(), scheme=st.sampled_from(SCHEMES), is_symmetric=st.booleans())
def test_no_weight_moves_more_than_half_a_step(matrix, scheme, is_symmetric):
    weights, dtype = matrix
    quantizer = quantizer_of(scheme, is_symmetric=is_symmetric)
    layer = linear(quantizer, len(weights), dtype)
    parts = quantizer.quantise(weights, layer)
    error = (quantizer.dequantise(parts, layer) - weights).abs()
    scale = parts["weight_scale"].float()
    step = scale.repeat_interleave(COLUMNS // scale.shape[1], dim=1)
    most = STEPS[layer.form.num_bits]
    if not layer.form.is_symmetric:
        # The zero point is rounded too: what a group reaches over may lie half a step aside.
        most = 1.05
    assert (error <= step * most).all()


def test_the_search_is_better_where_it_should_be():
    weights = torch.randn(64, COLUMNS, generator=torch.Generator().manual_seed(1))
    plain, best = (
        ((through(quantizer_of(QuantScheme.INT4, method), weights) - weights) ** 2).sum()
        for method in (Method.RTN, Method.SEARCH)
    )
    assert best < plain * 0.93


def test_what_does_not_divide_is_a_fault():
    def fault(scheme: QuantScheme, num_out: int, num_in: int, **options: Any) -> str | None:
        quantizer = quantizer_of(scheme, **options)
        return quantizer.fault(linear(quantizer, num_out, num_in=num_in))

    assert fault(QuantScheme.INT4, 8, 192, group=128)
    assert fault(QuantScheme.INT8, 8, 192, group=128) == (
        "a group of 128 does not divide 192 columns"
    )
    assert fault(QuantScheme.INT4, 8, 192, group=64) is None
    assert "4 rows" in (fault(QuantScheme.INT4, 4, 192) or "")
    assert fault(QuantScheme.INT4, 4, 192, is_symmetric=True) is None
    assert fault(QuantScheme.INT8, 4, 192) is None
    assert fault(QuantScheme.INT8_WEIGHT_ONLY, 4, 6) == "a word of 4 does not divide 6 columns"


def test_sensitive_layers_have_8_bits_and_their_partners_too():
    quantizer = quantizer_of(QuantScheme.INT4, group=32, sensitive="k_proj")
    for name, num_bits in (("q_proj", 8), ("k_proj", 8), ("v_proj", 8), ("o_proj", 4)):
        form = linear(quantizer, 8, name=f"model.layers.3.self_attn.{name}").form
        assert (form.num_bits, form.is_symmetric) == (num_bits, num_bits == 8)
        assert form.group_size == 32
    with pytest.raises(OptionError, match="--sensitive"):
        quantizer_of(QuantScheme.INT4, sensitive="(")


def test_tables_have_8_bits_in_large_groups():
    for scheme in (QuantScheme.INT8, QuantScheme.INT4):
        quantizer = quantizer_of(scheme, group=32)
        for part, num_in, group in (("head", 896, 128), ("embedding", 576, 64), ("head", 96, 32)):
            form = quantizer.form_of(
                Linear(name="x", num_out=8, num_in=num_in, dtype="BF16", part=Part(part))
            )
            assert form == Form(num_bits=8, group_size=group)


def test_a_scale_for_each_row_has_no_groups_whatever_is_asked():
    assert quantizer_of(QuantScheme.INT8_WEIGHT_ONLY, group=32).form.group_size is None


def test_zero_points_put_all_levels_where_the_weights_are():
    weights = torch.rand(8, COLUMNS, generator=torch.Generator().manual_seed(2)) + 0.001
    plain, zeros = (
        ((through(quantizer_of(QuantScheme.INT4, is_symmetric=each), weights) - weights) ** 2).sum()
        for each in (True, False)
    )
    assert zeros < plain / 3
