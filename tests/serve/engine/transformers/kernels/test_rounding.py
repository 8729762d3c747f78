"""Blocks of floats to bytes, against torch's own rounding."""

from __future__ import annotations

import pytest
import torch

from serve.engine.transformers.kernels import rounding
from serve.engine.transformers.kernels.compiling import exact
from serve.engine.transformers.kernels.intrinsics import pointer
from serve.engine.transformers.kernels.layout import BLOCK
from tests.serve.engine.transformers.kernels.matrices import rounded


@exact
def round_block(block, numbers, scale):
    return rounding.round_block(pointer(block), pointer(numbers), pointer(scale))


def in_bytes(block: torch.Tensor) -> tuple[torch.Tensor, float, int]:
    """The numbers, what each is multiplied with, and their sum."""
    numbers, scale = torch.full((BLOCK + 1,), 99, dtype=torch.int8), torch.empty(1)
    total = round_block(block.contiguous().data_ptr(), numbers.data_ptr(), scale.data_ptr())
    assert numbers[BLOCK] == 99  # nothing beyond the block is written
    return numbers[:BLOCK], scale.item(), total


def test_the_largest_becomes_127_and_all_are_rounded_to_the_nearest() -> None:
    torch.manual_seed(0)
    for size in (1e-8, 1, 3e37):
        block = torch.randn(BLOCK) * size
        numbers, scale, total = in_bytes(block)
        assert numbers.abs().max() == 127
        assert total == numbers.int().sum()
        actual = numbers.double() * scale
        torch.testing.assert_close(actual, rounded(block[None])[0], rtol=1e-6, atol=0)


def test_halves_go_to_the_even_number() -> None:
    block = torch.zeros(BLOCK)
    block[:5] = torch.tensor([127.0, 0.5, 1.5, 2.5, -2.5])
    numbers, scale, total = in_bytes(block)
    assert (numbers[:5].tolist(), scale, total) == ([127, 0, 2, 2, -2], 1.0, 129)


def test_zeros_stay_zeros() -> None:
    numbers, scale, total = in_bytes(torch.zeros(BLOCK))
    assert not numbers.any()
    assert (total, scale > 0) == (0, True)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("place", [0, 17, BLOCK - 1])
def test_what_is_no_number_makes_the_whole_block_none(place: int, value: float) -> None:
    block = torch.ones(BLOCK)
    block[place] = value
    assert torch.tensor(in_bytes(block)[1]).isnan()
