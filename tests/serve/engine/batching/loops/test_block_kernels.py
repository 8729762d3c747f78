"""Products of rows of bytes (VNNI), against float64; every width of the registers, few and many."""

from __future__ import annotations

import pytest
import torch

from serve.engine.batching.loops import native, stored_matrix
from serve.engine.batching.loops.stored_matrix import FEW_ROWS, Matrix, Scratch

pytestmark = pytest.mark.skipif(
    not native.has_block_products("int8"),
    reason="this processor does not sum products of bytes (VNNI)",
)
OUT = 83
"""Not of blocks of 16 or 4 alone."""


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def int8(num_in: int, *, in_steps: bool) -> tuple[Matrix, torch.Tensor]:
    """A matrix, and the weights it means in float64."""
    weight = torch.randint(-128, 128, (OUT, num_in), dtype=torch.int8)
    scale = torch.rand(OUT) + 0.5
    matrix = stored_matrix.of_int8(weight, scale, in_steps=in_steps)
    assert matrix is not None
    return matrix, weight.double() * scale.double()[:, None]


def int4(num_in: int, group: int) -> tuple[Matrix, torch.Tensor]:
    levels = torch.randint(0, 16, (OUT, num_in), dtype=torch.uint8)
    scale = torch.rand(OUT, num_in // group) + 0.5
    matrix = stored_matrix.of_int4((levels[:, ::2] | levels[:, 1::2] << 4).contiguous(), scale)
    assert matrix is not None
    return matrix, (levels.double() - 8) * scale.double().repeat_interleave(group, 1)


MATRICES = {
    "W8A8, 64 bytes at a time": lambda: int8(192, in_steps=True),
    "W8A8, 32 bytes": lambda: int8(96, in_steps=True),
    "W8A8, 16 bytes": lambda: int8(80, in_steps=True),
    "W8A16": lambda: int8(192, in_steps=False),
    "W4A16, 64 bytes": lambda: int4(256, 128),
    "W4A16, 32 bytes": lambda: int4(256, 64),
    "W4A16, 16 bytes": lambda: int4(96, 32),
}


def added(matrix: Matrix, x: torch.Tensor, *, bias: torch.Tensor, to: torch.Tensor) -> torch.Tensor:
    """A product of a few rows, plus bias, plus what is there already."""
    out = to.clone()
    scratch = Scratch(len(x), matrix.num_in)
    arguments = matrix.arguments(
        rows=x, out=out, scratch=scratch, bias=bias, adds=True, num_rows=len(x)
    )
    native.run(matrix.kernel, *arguments)
    return out


@pytest.mark.parametrize("rows", [1, 3, 4, 6, 21])
@pytest.mark.parametrize("name", MATRICES)
def test_products(name: str, rows: int) -> None:
    matrix, weight = MATRICES[name]()
    x = torch.randn(rows, matrix.num_in)
    size, levels = x.abs().amax(1, keepdim=True), torch.tensor(float(matrix.levels))
    factors, rounded = size / levels, (x * (levels / size)).round().double()
    expected = rounded @ weight.T * factors.double()
    result = stored_matrix.multiply(matrix, x)
    assert result is not None
    torch.testing.assert_close(result.double(), expected, rtol=1e-5, atol=2e-4)
    alone = stored_matrix.multiply(matrix, x[-1:])
    assert alone is not None
    assert torch.equal(alone[0], result[-1])  # whatever else is in the step
    if rows <= FEW_ROWS:
        bias, before = torch.randn(OUT), torch.randn(rows, OUT)
        expected += bias.double() + before.double()
        result = added(matrix, x, bias=bias, to=before)
        torch.testing.assert_close(result.double(), expected, rtol=1e-5, atol=2e-4)


@pytest.mark.parametrize("in_steps", [True, False])
def test_the_longest_sums_do_not_overflow(in_steps: bool) -> None:
    """All weights and all activations at their ends, with as many inputs as a 70B model has."""
    num_in = 28_672
    weight = torch.full((OUT, num_in), -128, dtype=torch.int8)
    matrix = stored_matrix.of_int8(weight, torch.ones(OUT), in_steps=in_steps)
    assert matrix is not None
    x = torch.full((5, num_in), -1.0)
    result = stored_matrix.multiply(matrix, x)
    assert result is not None
    torch.testing.assert_close(result, torch.full((5, OUT), 128.0 * num_in), rtol=1e-6, atol=0)
