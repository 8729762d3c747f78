"""The loops between a layer's products, against float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from serve.engine.transformers.kernels import layer_kernels, native
from serve.engine.transformers.kernels.arguments import GateArguments, NormArguments
from tests.serve.engine.transformers.kernels.matrices import bits_of


def normed(rows: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    out = torch.empty_like(rows)
    addresses = (rows.data_ptr(), weight.data_ptr(), out.data_ptr())
    arguments = NormArguments(*rows.shape, bits_of(epsilon), *addresses)
    native.run(layer_kernels.norm(), arguments)
    return out


@pytest.mark.parametrize("size", [1, 37, 256])
def test_norms(size: int) -> None:
    torch.manual_seed(size)
    rows, weight = torch.randn(5, size) * 30, torch.randn(size)
    expected = nn.functional.rms_norm(rows.double(), (size,), weight.double(), 1e-5)
    torch.testing.assert_close(normed(rows, weight, 1e-5).double(), expected, rtol=1e-5, atol=1e-6)


def test_a_row_of_zeros_stays_one_and_nan_stays_in_its_row() -> None:
    rows = torch.ones(3, 8)
    rows[0], rows[1, 3] = 0, torch.nan
    result = normed(rows, torch.ones(8), 1e-6)
    assert not result[0].any()
    assert result[1].isnan().all()
    torch.testing.assert_close(result[2], torch.ones(8))


def test_gates() -> None:
    both = torch.cat([torch.linspace(-120, 120, 501), torch.randn(501)])[None].repeat(3, 1)
    both[2, 7] = torch.nan
    out = torch.empty(3, 501)
    native.run(layer_kernels.gate(), GateArguments(3, 501, both.data_ptr(), out.data_ptr()))
    gate, up = both.double().chunk(2, -1)
    torch.testing.assert_close(
        out.double(), nn.functional.silu(gate) * up, rtol=1e-6, atol=1e-9, equal_nan=True
    )


def exponential(x: float) -> float:
    return float(layer_kernels.exponential(np.float32(x)))


@pytest.mark.parametrize("x", [-87, -1, -1e-4, 0, 0.5, 1, 20, 87.5])
def test_the_exponential(x: float) -> None:
    assert exponential(x) == pytest.approx(math.exp(np.float32(x)), rel=5e-7)


def test_the_exponential_is_bounded_and_finite() -> None:
    assert exponential(1e30) == exponential(88)
    assert exponential(-np.inf) == exponential(-87) > 0
    assert math.isfinite(exponential(np.inf))
