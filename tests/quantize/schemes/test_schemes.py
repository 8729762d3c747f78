"""Every scheme of compressed-tensors: what is stored is near the weights, and never 0 or NaN."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.refs import QuantScheme
from quantize import registry
from quantize.errors import BadWeightsError, OptionError
from quantize.formats.dtypes import TORCH
from quantize.protocol import DATA_FREE, Form, Linear, Method, Options, Part, Quantizer

SCHEMES = (
    QuantScheme.INT8,
    QuantScheme.INT8_WEIGHT_ONLY,
    QuantScheme.INT8_W8A8,
    QuantScheme.INT4,
    QuantScheme.FP8,
)
METHODS = DATA_FREE
COLUMNS = 128

# Half a step, and what rounding the scale to bfloat16 or float16 adds for the largest weight.
STEPS = {8: 0.51, 4: 0.54}


def scheme_of(scheme: QuantScheme, method: Method = Method.RTN, group: int = 64, **more):
    return registry.quantizer(scheme, Options(method=method, group_size=group, **more))


def linear(
    quantizer: Quantizer, num_out: int, dtype: str = "BF16", num_in: int = COLUMNS, name: str = "x"
) -> Linear:
    made = Linear(name=name, num_out=num_out, num_in=num_in, dtype=dtype)
    return replace(made, form=quantizer.form_of(made))


def through(quantizer: Quantizer, rows: torch.Tensor, dtype: str = "BF16") -> torch.Tensor:
    matrix = linear(quantizer, len(rows), dtype)
    return quantizer.dequantise(quantizer.quantise(rows, matrix), matrix)


@st.composite
def matrices(draw: st.DrawFn) -> tuple[torch.Tensor, str]:
    """Rows of very different sizes, some of zeros, some constant, some with one outlier."""
    dtype = draw(st.sampled_from(["BF16", "F16", "F32"]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    num_rows = draw(st.sampled_from([8, 16]))
    weights = torch.randn(num_rows, COLUMNS, generator=generator)
    for row in weights:
        row.mul_(10.0 ** draw(st.floats(-6, 3)))
        kind = draw(st.sampled_from(["normal", "zero", "constant", "outlier"]))
        if kind == "zero":
            row.zero_()
        elif kind == "constant":
            row.fill_(draw(st.floats(-100, 100)))
        elif kind == "outlier":
            row[3] = row.abs().max() * 50
    largest = torch.finfo(TORCH[dtype]).max
    return weights.clamp(-largest, largest).to(TORCH[dtype]).float(), dtype


@given(matrix=matrices(), scheme=st.sampled_from(SCHEMES), method=st.sampled_from(METHODS))
def test_scales_are_above_0_and_the_shapes_are_those_that_were_said(matrix, scheme, method):
    weights, dtype = matrix
    quantizer = scheme_of(scheme, method)
    before = weights.clone()
    parts = quantizer.quantise(weights, linear(quantizer, len(weights), dtype))
    assert torch.equal(weights, before)
    stored = {p.suffix: p for p in quantizer.stored(linear(quantizer, len(weights), dtype))}
    assert stored.keys() == parts.keys()
    for suffix, part in stored.items():
        assert parts[suffix].shape == part.shape
        assert parts[suffix].dtype == TORCH[part.dtype]
    scale = parts["weight_scale"].float()
    assert torch.isfinite(scale).all()
    assert (scale > 0).all()
    matrix = linear(quantizer, len(weights), dtype)
    assert torch.isfinite(quantizer.dequantise(parts, matrix)).all()


@given(
    matrix=matrices(),
    scheme=st.sampled_from([scheme for scheme in SCHEMES if scheme is not QuantScheme.FP8]),
    is_symmetric=st.booleans(),
)
def test_no_weight_moves_more_than_half_a_step(matrix, scheme, is_symmetric):
    weights, dtype = matrix
    quantizer = scheme_of(scheme, is_symmetric=is_symmetric)
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


@given(matrix=matrices())
def test_fp8_keeps_three_bits_of_each_weight(matrix):
    weights, dtype = matrix
    quantizer = scheme_of(QuantScheme.FP8)
    layer = linear(quantizer, len(weights), dtype)
    parts = quantizer.quantise(weights, layer)
    error = (quantizer.dequantise(parts, layer) - weights).abs()
    least = parts["weight_scale"].float() * 2.0**-10  # half of the smallest subnormal
    assert (error <= torch.maximum(weights.abs() * 2.0**-4 * 1.1, least * 1.01)).all()


@given(matrix=matrices(), scheme=st.sampled_from(SCHEMES))
def test_the_search_is_never_worse(matrix, scheme):
    weights, dtype = matrix
    plain, best = (
        ((through(scheme_of(scheme, method), weights, dtype) - weights) ** 2).sum()
        for method in (Method.RTN, Method.SEARCH)
    )
    assert best <= plain * (1 + 1e-5)


def test_the_search_is_better_where_it_should_be():
    weights = torch.randn(64, COLUMNS, generator=torch.Generator().manual_seed(1))
    plain, best = (
        ((through(scheme_of(QuantScheme.INT4, method), weights) - weights) ** 2).sum()
        for method in (Method.RTN, Method.SEARCH)
    )
    assert best < plain * 0.93


@pytest.mark.parametrize("scheme", SCHEMES)
def test_zeros_stay_zeros(scheme):
    assert not through(scheme_of(scheme), torch.zeros(8, COLUMNS)).any()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_refused(scheme, method, value):
    weights = torch.randn(4, COLUMNS)
    weights[2, 70] = value
    with pytest.raises(BadWeightsError):
        scheme_of(scheme, method).quantise(weights, linear(scheme_of(scheme), 4))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("method", METHODS)
def test_rows_by_eight_and_together_are_the_same(scheme, method):
    weights = torch.randn(24, COLUMNS)
    quantizer = scheme_of(scheme, method)
    layer = linear(quantizer, 24)
    whole = quantizer.quantise(weights, layer)
    pieces = [quantizer.quantise(weights[row : row + 8], layer) for row in (0, 8, 16)]
    for suffix in whole.keys() - {"weight_shape"}:
        joined = torch.cat([piece[suffix].view(torch.uint8) for piece in pieces])
        assert torch.equal(whole[suffix].view(torch.uint8), joined)


def test_what_does_not_divide_is_a_fault():
    def fault(scheme: QuantScheme, num_out: int, num_in: int, **options: Any) -> str | None:
        quantizer = scheme_of(scheme, **options)
        return quantizer.fault(linear(quantizer, num_out, num_in=num_in))

    assert fault(QuantScheme.INT4, 8, 192, group=128)
    assert fault(QuantScheme.INT8, 8, 192, group=128)
    assert fault(QuantScheme.INT4, 8, 192, group=64) is None
    assert "4 rows" in (fault(QuantScheme.INT4, 4, 192) or "")
    assert fault(QuantScheme.INT4, 4, 192, is_symmetric=True) is None
    assert fault(QuantScheme.INT8, 4, 192) is None
    assert fault(QuantScheme.INT8_WEIGHT_ONLY, 4, 6)
    assert fault(QuantScheme.INT8_W8A8, 4, 7) is None


def test_sensitive_layers_have_8_bits_and_their_partners_too():
    quantizer = scheme_of(QuantScheme.INT4, group=32, sensitive="k_proj")
    for name, num_bits in (("q_proj", 8), ("k_proj", 8), ("v_proj", 8), ("o_proj", 4)):
        form = linear(quantizer, 8, name=f"model.layers.3.self_attn.{name}").form
        assert (form.num_bits, form.is_symmetric) == (num_bits, num_bits == 8)
        assert form.group_size == 32
    with pytest.raises(OptionError, match="--sensitive"):
        scheme_of(QuantScheme.INT4, sensitive="(")


def test_tables_have_8_bits_in_large_groups():
    for scheme in (QuantScheme.INT8, QuantScheme.INT4):
        quantizer = scheme_of(scheme, group=32)
        for part, num_in, group in (("head", 896, 128), ("embedding", 576, 64), ("head", 96, 32)):
            form = quantizer.form_of(
                Linear(name="x", num_out=8, num_in=num_in, dtype="BF16", part=Part(part))
            )
            assert form == Form(num_bits=8, group_size=group)


def test_zero_points_put_all_levels_where_the_weights_are():
    weights = torch.rand(8, COLUMNS, generator=torch.Generator().manual_seed(2)) + 0.001
    plain, zeros = (
        ((through(scheme_of(QuantScheme.INT4, is_symmetric=each), weights) - weights) ** 2).sum()
        for each in (True, False)
    )
    assert zeros < plain / 3


def test_every_file_is_a_scheme():
    assert set(SCHEMES) <= set(registry.known())
    with pytest.raises(OptionError, match="int8"):
        registry.quantizer(QuantScheme.NONE, Options())
