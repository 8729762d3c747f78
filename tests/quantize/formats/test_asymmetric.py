"""Scales and zero points of 4-bit groups."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from quantize.errors import BadWeightsError
from quantize.formats import asymmetric

F32, BF16 = torch.float32, torch.bfloat16


def lost(weights: torch.Tensor, chosen: asymmetric.Chosen) -> float:
    scale, zero = chosen
    values = (asymmetric.integers_raised(weights, scale, zero) - zero) * scale
    return float((values - weights).square().sum())


def test_the_levels_reach_from_the_least_weight_to_the_largest() -> None:
    scale, zero = asymmetric.from_range(torch.tensor([[-1.0, 0.0, 2.0]]), F32)
    assert scale.item() == pytest.approx(0.2)
    assert zero.item() == 5.0


@pytest.mark.parametrize(
    ("weights", "step", "zero"),
    [([1.0, 3.0], 0.2, 0.0), ([-3.0, -1.5], 0.2, 15.0), ([0.0, 0.0], 1.0, 0.0)],
)
def test_0_is_a_level_even_of_groups_to_one_side_of_it(
    weights: list[float], step: float, zero: float
) -> None:
    scale, found = asymmetric.from_range(torch.tensor([weights]), F32)
    assert (scale.item(), found.item()) == (pytest.approx(step), zero)
    assert asymmetric.integers_raised(torch.zeros(1, 1), scale, found).item() == zero


@given(seed=st.integers(0, 1000), offset=st.floats(-5, 5), size=st.floats(1e-4, 1e3))
def test_the_search_is_never_worse_and_stays_in_range(
    seed: int, offset: float, size: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = (torch.randn(4, 32, generator=generator) + offset) * size
    plain, best = (choose(weights, BF16) for choose in (asymmetric.from_range, asymmetric.searched))
    assert lost(weights, best) <= lost(weights, plain) * (1 + 1e-5)
    scale, zero = best
    assert (scale > 0).all()
    assert torch.equal(scale, scale.bfloat16().float())
    assert set(zero.flatten().tolist()) <= set(range(16))


def test_the_search_wins_a_tenth_on_a_normal_distribution() -> None:
    weights = torch.randn(400, 32, generator=torch.Generator().manual_seed(0))
    plain, best = asymmetric.from_range(weights, BF16), asymmetric.searched(weights, BF16)
    assert lost(weights, best) < 0.92 * lost(weights, plain)


def test_levels_on_a_grid_are_found_exactly() -> None:
    weights = (torch.arange(16.0) - 3).view(1, 16) * 0.5
    for choose in (asymmetric.from_range, asymmetric.searched):
        assert lost(weights, choose(weights, BF16)) == 0


def test_integers_are_what_is_stored_less_8() -> None:
    scale, zero = torch.tensor([[0.5]]), torch.tensor([[3.0]])
    weights = torch.tensor([[-100.0, -1.5, 0.0, 0.5, 100.0]])
    integers = asymmetric.integers(weights, scale, zero)
    assert integers.dtype is torch.int8
    assert integers.tolist() == [[-8, -8, -5, -4, 7]]


def test_what_is_no_number_is_an_error() -> None:
    for choose in (asymmetric.from_range, asymmetric.searched):
        with pytest.raises(BadWeightsError):
            choose(torch.tensor([[1.0, float("nan")]]), BF16)
