"""The Quantizer contract as tests: what quantize/protocol.py says of every scheme.

Subclass ``QuantizerContract`` for each scheme.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.refs import QuantScheme
from quantize import registry
from quantize.errors import BadWeightsError
from quantize.formats.forms import TORCH, Linear
from quantize.protocol import DATA_FREE, Method, Quantizer, SchemeOptions

COLUMNS = 128

quickly = settings(
    max_examples=30, suppress_health_check=[HealthCheck.differing_executors], deadline=None
)


def quantizer_of(
    scheme: QuantScheme, method: Method = Method.RTN, group: int = 64, **more: Any
) -> Quantizer:
    return registry.quantizer(scheme, SchemeOptions(method=method, group_size=group, **more))


def linear(
    quantizer: Quantizer, num_out: int, dtype: str = "BF16", num_in: int = COLUMNS, name: str = "x"
) -> Linear:
    plain = Linear(name=name, num_out=num_out, num_in=num_in, dtype=dtype)
    return replace(plain, form=quantizer.form_of(plain))


def through(quantizer: Quantizer, rows: torch.Tensor, dtype: str = "BF16") -> torch.Tensor:
    """The rows as an engine computes with them."""
    matrix = linear(quantizer, len(rows), dtype, rows.shape[1])
    return quantizer.dequantise(quantizer.quantise(rows, matrix), matrix)


def random_rows(seed: int, num_out: int = 96, num_in: int = COLUMNS) -> torch.Tensor:
    return torch.randn(num_out, num_in, generator=torch.Generator().manual_seed(seed))


@st.composite
def matrices(draw: st.DrawFn) -> tuple[torch.Tensor, str]:
    """Rows of very different sizes, some of zeros, some constant, some with one outlier."""
    dtype = draw(st.sampled_from(["BF16", "F16", "F32"]))
    weights = random_rows(draw(st.integers(0, 10_000)), draw(st.sampled_from([8, 16])))
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


class QuantizerContract:
    scheme: QuantScheme
    methods = DATA_FREE
    scale: str | None = "weight_scale"
    """The suffix of scales, which are above 0."""
    most_error = 0.0
    """Of random weights, relative to their own squares."""

    def test_it_is_the_scheme_of_its_name(self) -> None:
        for method in self.methods:
            quantizer = quantizer_of(self.scheme, method)
            assert (quantizer.scheme, quantizer.method) == (self.scheme, method)

    @given(matrix=matrices(), data=st.data())
    @quickly
    def test_the_tensors_are_those_that_were_said(
        self, matrix: tuple[torch.Tensor, str], data: st.DataObject
    ) -> None:
        weights, dtype = matrix
        quantizer = quantizer_of(self.scheme, data.draw(st.sampled_from(self.methods)))
        before = weights.clone()
        layer = linear(quantizer, len(weights), dtype)
        parts = quantizer.quantise(weights, layer)
        assert torch.equal(weights, before)
        stored = {tensor.suffix: tensor for tensor in quantizer.stored(layer)}
        assert stored.keys() == parts.keys()
        for suffix, tensor in stored.items():
            assert parts[suffix].shape == tensor.shape
            assert parts[suffix].dtype == TORCH[tensor.dtype]
            assert parts[suffix].nbytes == tensor.num_bytes
        if self.scale is not None:
            scale = parts[self.scale].float()
            assert torch.isfinite(scale).all()
            assert (scale > 0).all()
        assert torch.isfinite(quantizer.dequantise(parts, layer)).all()

    @given(matrix=matrices())
    @quickly
    def test_the_search_is_never_worse(self, matrix: tuple[torch.Tensor, str]) -> None:
        weights, dtype = matrix
        plain, *others = (
            ((through(quantizer_of(self.scheme, method), weights, dtype) - weights) ** 2).sum()
            for method in self.methods
        )
        assert all(other <= plain * (1 + 1e-5) for other in others)

    def test_zeros_stay_zeros(self) -> None:
        assert not through(quantizer_of(self.scheme), torch.zeros(8, COLUMNS)).any()

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_what_is_no_number_is_refused(self, value: float) -> None:
        for method in self.methods:
            weights = torch.randn(4, COLUMNS)
            weights[2, 70] = value
            quantizer = quantizer_of(self.scheme, method)
            with pytest.raises(BadWeightsError):
                quantizer.quantise(weights, linear(quantizer, 4))

    def test_rows_by_eight_and_together_are_the_same(self) -> None:
        for method in self.methods:
            weights = torch.randn(24, COLUMNS)
            quantizer = quantizer_of(self.scheme, method)
            layer = linear(quantizer, 24)
            whole = quantizer.quantise(weights, layer)
            chunks = [quantizer.quantise(weights[row : row + 8], layer) for row in (0, 8, 16)]
            for tensor in quantizer.stored(layer):
                if tensor.is_by_row:
                    joined = torch.cat([chunk[tensor.suffix].view(torch.uint8) for chunk in chunks])
                    assert torch.equal(whole[tensor.suffix].view(torch.uint8), joined)

    def test_the_error_is_that_of_the_type(self) -> None:
        rows = random_rows(3, 256, 1024)
        error = through(quantizer_of(self.scheme), rows) - rows
        assert 0 < float((error**2).mean() / (rows**2).mean()) < self.most_error
