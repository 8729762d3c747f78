"""Products with floats as they lie on disk, and the rounding of a float to bfloat16."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from serve.engine.transformers.kernels import float_kernels, native
from serve.engine.transformers.kernels.layout import FloatKind
from serve.engine.transformers.kernels.native import Scratch
from serve.engine.transformers.kernels.stored_matrix import FloatMatrix

DTYPES: dict[FloatKind, torch.dtype] = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def multiplied(kind: FloatKind, weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    num_out, num_in = weight.shape
    kernel = float_kernels.product(kind)
    matrix = FloatMatrix(weight=weight, num_out=num_out, num_in=num_in, kernel=kernel)
    out, scratch = torch.empty(len(x), num_out), Scratch(len(x), num_in)
    native.run(kernel, matrix.arguments(rows=x, out=out, scratch=scratch, num_rows=len(x)))
    return out


@pytest.mark.parametrize("kind", DTYPES)
def test_rows_in_fours_twos_and_ones(kind: FloatKind) -> None:
    """Weights of bfloat16 are widened, so that rows keep their float32."""
    torch.manual_seed(0)
    weight, x = torch.randn(5, 32).to(DTYPES[kind]), torch.randn(11, 32)
    expected = x.double() @ weight.double().T
    alone = torch.cat([multiplied(kind, weight, x[row : row + 1]) for row in range(11)])
    for rows in (1, 2, 3, 4, 5, 6, 7, 11):
        result = multiplied(kind, weight, x[:rows])
        torch.testing.assert_close(result.double(), expected[:rows], rtol=1e-5, atol=1e-5)
        assert torch.equal(result, alone[:rows])  # whatever else is in the step


@pytest.mark.parametrize("kind", DTYPES)
def test_weights_of_several_tiles(kind: FloatKind) -> None:
    """Six outputs of 16,384 numbers: three tiles of float32, two of bfloat16, for one thread."""
    torch.manual_seed(0)
    num_in = float_kernels._TILE_BYTES // 8
    weight, x = torch.randn(6, num_in).to(DTYPES[kind]), torch.randn(5, num_in)
    expected = x.double() @ weight.double().T
    torch.testing.assert_close(multiplied(kind, weight, x).double(), expected, rtol=1e-4, atol=1e-2)


def test_what_is_no_number_stays_in_its_row() -> None:
    weight, x = torch.randn(3, 16), torch.randn(6, 16)
    clean = multiplied("float32", weight, x)
    x[4, 0] = torch.inf
    result = multiplied("float32", weight, x)
    assert not result[4].isfinite().any()
    assert torch.equal(result[[0, 1, 2, 3, 5]], clean[[0, 1, 2, 3, 5]])


def test_more_threads_than_outputs_leave_some_idle() -> None:
    weight, x = torch.randn(2, 16), torch.randn(1, 16)
    expected, before = multiplied("float32", weight, x), torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert torch.equal(multiplied("float32", weight, x), expected)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    "number",
    [1.0, 1.00390625, 1.01171875, 3.4e38, -3e38, 1e-40, -0.0, torch.inf, -torch.inf, torch.nan],
)
def test_a_float_is_rounded_to_the_nearest_bfloat16(number: float) -> None:
    """Of two as near the even one; NaN stays NaN."""
    bits = torch.tensor([float_kernels.narrow(np.float32(number))], dtype=torch.uint16)
    expected = torch.tensor([number]).bfloat16()
    torch.testing.assert_close(bits.view(torch.bfloat16), expected, rtol=0, atol=0, equal_nan=True)
