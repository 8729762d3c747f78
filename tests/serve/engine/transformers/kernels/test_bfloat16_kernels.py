"""The product with bfloat16 weights: any number of rows and outputs, of any width."""

from __future__ import annotations

import pytest
import torch

from serve.engine.transformers.kernels import bfloat16_kernels, native, processor
from serve.engine.transformers.kernels.native import Scratch
from serve.engine.transformers.kernels.stored_matrix import FloatMatrix

pytestmark = pytest.mark.skipif(
    not processor.sums_bfloat16(), reason="this processor sums no products of bfloat16"
)
NUM_IN = 64


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def matrix_of(num_out: int) -> FloatMatrix:
    return FloatMatrix(
        weight=torch.randn(num_out, NUM_IN).bfloat16(),
        num_out=num_out,
        num_in=NUM_IN,
        kernel=bfloat16_kernels.product(64),
    )


def multiplied(
    matrix: FloatMatrix,
    x: torch.Tensor,
    *,
    bias: torch.Tensor | None = None,
    to: torch.Tensor | None = None,
    counter: torch.Tensor | None = None,
) -> torch.Tensor:
    out = torch.empty(len(x), matrix.num_out) if to is None else to.clone()
    scratch = Scratch(len(x), NUM_IN)
    arguments = matrix.arguments(
        rows=x, out=out, scratch=scratch, bias=bias, adds=to is not None, num_rows=len(x)
    )
    if counter is not None:
        arguments = arguments._replace(counter=counter.data_ptr())
    native.run(matrix.kernel, arguments)
    return out


@pytest.mark.parametrize("num_out", [1, 15, 16, 20, 35])
def test_rows_and_outputs_beyond_whole_blocks(num_out: int) -> None:
    matrix = matrix_of(num_out)
    x, before, bias = torch.randn(9, NUM_IN), torch.randn(9, num_out), torch.randn(num_out)
    expected = x.bfloat16().double() @ matrix.weight.double().T
    for rows in (1, 3, 4, 5, 9):
        plain = multiplied(matrix, x[:rows])
        torch.testing.assert_close(plain.double(), expected[:rows], rtol=1e-5, atol=1e-5)
        both = multiplied(matrix, x[:rows], bias=bias, to=before[:rows])
        torch.testing.assert_close(both, plain + bias + before[:rows], rtol=1e-5, atol=1e-5)


def test_a_row_does_not_depend_on_the_others() -> None:
    matrix, x = matrix_of(32), torch.randn(7, NUM_IN)
    together = multiplied(matrix, x)
    for row in range(7):
        assert torch.equal(multiplied(matrix, x[row : row + 1])[0], together[row])


def test_parts_that_are_taken_cover_every_output_once() -> None:
    """With a counter, parts are an eighth as large; what is added shows one that is done twice."""
    matrix, x = matrix_of(300), torch.randn(2, NUM_IN)
    before, counter = torch.randn(2, 300), torch.zeros(1, dtype=torch.int64)
    by_share = multiplied(matrix, x, to=before)
    assert torch.equal(multiplied(matrix, x, to=before, counter=counter), by_share)
    assert counter.item() > torch.get_num_threads()


def test_what_is_no_number_stays_in_its_row() -> None:
    matrix, x = matrix_of(20), torch.randn(5, NUM_IN)
    clean = multiplied(matrix, x)
    x[2, 3] = torch.nan
    result = multiplied(matrix, x)
    assert result[2].isnan().all()
    assert torch.equal(result[[0, 1, 3, 4]], clean[[0, 1, 3, 4]])
