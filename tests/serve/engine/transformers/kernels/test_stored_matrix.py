"""Floating-point weights as they are stored: which are taken, and products of a few rows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from serve.engine.transformers.kernels import native, stored_matrix
from serve.engine.transformers.kernels.native import Scratch
from serve.engine.transformers.kernels.stored_matrix import FEW_ROWS, FloatMatrix, Matrix


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 11])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("adds", [True, False])
def test_products_with_floats(rows: int, dtype: torch.dtype, adds: bool) -> None:
    linear = nn.Linear(48, 37).to(dtype)
    matrix = stored_matrix.of_linear(linear)
    assert matrix is not None
    # Rows of a bfloat16 layer are rounded to it where the processor multiplies bfloat16.
    x, out = torch.randn(rows, 48).to(dtype).float(), torch.randn(rows, 37)
    bias = linear.bias.detach().float()
    expected = x.double() @ linear.weight.double().T + bias.double() + (out.double() if adds else 0)
    run_product(matrix, x, out, bias=bias, adds=adds)
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-5)
    assert stored_matrix.of_linear(nn.Linear(40, 8)) is None  # no whole vectors


def run_product(
    matrix: FloatMatrix, x: torch.Tensor, out: torch.Tensor, *, bias: torch.Tensor, adds: bool
) -> None:
    scratch = native.Scratch(len(x), matrix.num_in)
    arguments = matrix.arguments(
        rows=x, out=out, scratch=scratch, bias=bias, adds=adds, num_rows=len(x)
    )
    native.run(matrix.kernel, arguments)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_many_rows_are_left_to_others(dtype: torch.dtype) -> None:
    matrix = stored_matrix.of_linear(nn.Linear(32, 20).to(dtype))
    assert matrix is not None
    x = torch.randn(FEW_ROWS + 1, 32).to(dtype)
    few = stored_matrix.multiply(matrix, x[:FEW_ROWS])
    assert few is not None
    expected = x[:FEW_ROWS].double() @ matrix.weight.double().T
    torch.testing.assert_close(few.double(), expected, rtol=1e-5, atol=1e-5)
    assert stored_matrix.multiply(matrix, x) is None


def test_rows_need_not_lie_together() -> None:
    matrix = stored_matrix.of_linear(nn.Linear(16, 4))
    assert matrix is not None
    wide = torch.randn(3, 32)
    apart, together = wide[:, 16:], wide[:, 16:].contiguous()
    assert torch.equal(
        stored_matrix.multiply(matrix, apart), stored_matrix.multiply(matrix, together)
    )


def test_weights_that_the_loops_cannot_read_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stored_matrix.of_linear(nn.Linear(32, 4).half()) is None
    assert stored_matrix.of_linear(nn.Linear(32, 4, device="meta")) is None
    turned = nn.Linear(32, 4)
    turned.weight = nn.Parameter(torch.randn(32, 4).T, requires_grad=False)
    assert stored_matrix.of_linear(turned) is None
    assert stored_matrix.of_linear(nn.Linear(32, 4)) is not None
    monkeypatch.setattr(native, "is_available", lambda: False)
    assert stored_matrix.of_linear(nn.Linear(32, 4)) is None


def test_what_is_not_there_has_no_address() -> None:
    matrix = Matrix(weight=torch.empty(4, 64), num_out=4, num_in=64)
    rows, out, scratch = torch.empty(2, 64), torch.empty(2, 4), Scratch(2, 64)
    arguments = matrix.arguments(rows=rows, out=out, scratch=scratch)
    assert (arguments.bias, arguments.scale, arguments.counter) == (0, 0, 0)
    assert (arguments.num_rows, arguments.groups, arguments.blocks, arguments.adds) == (0,) * 4
    grouped = Matrix(weight=torch.empty(4, 64), num_out=4, num_in=64, groups=2)
    assert grouped.arguments(rows=rows, out=out, scratch=scratch).blocks == 1  # of 32 inputs
