"""Every scheme of compressed-tensors: what is stored is near the weights, and never 0 or NaN."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.refs import QuantScheme
from quantize import registry
from quantize.dtypes import TORCH
from quantize.errors import BadWeightsError, OptionError
from quantize.protocol import Linear, Method, Options, Quantizer

SCHEMES = (
    QuantScheme.INT8,
    QuantScheme.INT8_WEIGHT_ONLY,
    QuantScheme.INT4,
    QuantScheme.FP8,
)
METHODS = tuple(Method)
COLUMNS = 128

# Half a step, and what rounding the scale to bfloat16 or float16 adds for the largest weight.
STEPS = dict.fromkeys(SCHEMES, 0.51) | {QuantScheme.INT4: 0.54}


def scheme_of(scheme: QuantScheme, method: Method = Method.RTN, group: int | None = 64):
    return registry.quantizer(scheme, Options(method=method, group_size=group))


def linear(num_out: int, dtype: str = "BF16", num_in: int = COLUMNS) -> Linear:
    return Linear(name="x", num_out=num_out, num_in=num_in, dtype=dtype)


def through(quantizer: Quantizer, rows: torch.Tensor, dtype: str = "BF16") -> torch.Tensor:
    parts = quantizer.quantise(rows, linear(len(rows), dtype))
    return quantizer.dequantise(parts, COLUMNS)


@st.composite
def matrices(draw: st.DrawFn) -> tuple[torch.Tensor, str]:
    """Rows of very different sizes, some of zeros, some constant, some with one outlier."""
    dtype = draw(st.sampled_from(["BF16", "F16", "F32"]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    num_rows = draw(st.integers(1, 6))
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
    parts = quantizer.quantise(weights, linear(len(weights), dtype))
    assert torch.equal(weights, before)
    stored = {part.suffix: part for part in quantizer.stored(linear(len(weights), dtype))}
    assert stored.keys() == parts.keys()
    for suffix, part in stored.items():
        assert parts[suffix].shape == part.shape
        assert parts[suffix].dtype == TORCH[part.dtype]
    scale = parts["weight_scale"].float()
    assert torch.isfinite(scale).all()
    assert (scale > 0).all()
    assert torch.isfinite(quantizer.dequantise(parts, COLUMNS)).all()


@given(
    matrix=matrices(),
    scheme=st.sampled_from([QuantScheme.INT8, QuantScheme.INT8_WEIGHT_ONLY, QuantScheme.INT4]),
)
def test_no_weight_moves_more_than_half_a_step(matrix, scheme):
    weights, dtype = matrix
    quantizer = scheme_of(scheme)
    parts = quantizer.quantise(weights, linear(len(weights), dtype))
    error = (quantizer.dequantise(parts, COLUMNS) - weights).abs()
    step = (
        parts["weight_scale"]
        .float()
        .repeat_interleave(COLUMNS // parts["weight_scale"].shape[1], dim=1)
    )
    assert (error <= step * STEPS[scheme]).all()


@given(matrix=matrices())
def test_fp8_keeps_three_bits_of_each_weight(matrix):
    weights, dtype = matrix
    parts = scheme_of(QuantScheme.FP8).quantise(weights, linear(len(weights), dtype))
    error = (scheme_of(QuantScheme.FP8).dequantise(parts, COLUMNS) - weights).abs()
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
    assert best < plain * 0.9


@pytest.mark.parametrize("scheme", SCHEMES)
def test_zeros_stay_zeros(scheme):
    assert not through(scheme_of(scheme), torch.zeros(3, COLUMNS)).any()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_refused(scheme, method, value):
    weights = torch.randn(4, COLUMNS)
    weights[2, 70] = value
    with pytest.raises(BadWeightsError):
        scheme_of(scheme, method).quantise(weights, linear(4))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_rows_alone_and_together_are_the_same(scheme):
    weights = torch.randn(6, COLUMNS)
    whole = scheme_of(scheme).quantise(weights, linear(6))
    for number in range(6):
        alone = scheme_of(scheme).quantise(weights[number : number + 1], linear(6))
        for suffix in whole.keys() - {"weight_shape"}:
            assert torch.equal(
                whole[suffix][number : number + 1].view(torch.uint8),
                alone[suffix].view(torch.uint8),
            )


def test_columns_that_do_not_divide_are_a_fault():
    assert scheme_of(QuantScheme.INT4, group=128).fault(linear(4, num_in=192), 192)
    assert scheme_of(QuantScheme.INT4, group=64).fault(linear(4, num_in=192), 192) is None
    assert scheme_of(QuantScheme.INT4, group=None).fault(linear(4, num_in=36), 36)
    assert scheme_of(QuantScheme.INT8_WEIGHT_ONLY).fault(linear(4, num_in=6), 6)
    assert scheme_of(QuantScheme.INT8).fault(linear(4, num_in=7), 7) is None


def test_a_row_can_be_one_group():
    weights = torch.randn(2, COLUMNS)
    quantizer = scheme_of(QuantScheme.INT4, group=None)
    assert quantizer.quantise(weights, linear(2))["weight_scale"].shape == (2, 1)
    assert quantizer.config([])["config_groups"]["group_0"]["weights"]["strategy"] == "channel"


def test_every_file_is_a_scheme():
    assert set(SCHEMES) <= set(registry.known())
    with pytest.raises(OptionError, match="int8"):
        registry.quantizer(QuantScheme.NONE, Options())
