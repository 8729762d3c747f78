"""Scales without zero points: from the largest weight, or searched."""

from __future__ import annotations

import pytest
import torch

from quantize.errors import BadWeightsError
from quantize.formats import scales

BF16, F16, F32 = torch.bfloat16, torch.float16, torch.float32


def to_integers(values: torch.Tensor) -> torch.Tensor:
    return values.round_().clamp_(-7, 7)


def lost(weights: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return ((to_integers(weights / scale) * scale - weights) ** 2).sum(-1)


def test_the_largest_weight_of_either_sign_becomes_the_last_level() -> None:
    weights = torch.tensor([[1.0, -6.0, 2.0], [3.0, 0.5, -1.0]])
    assert scales.from_largest(weights, 4.0, F32).tolist() == [[1.5], [0.75]]


def test_a_group_of_zeros_has_the_scale_1() -> None:
    assert scales.from_largest(torch.zeros(2, 4), 127.0, BF16).tolist() == [[1.0], [1.0]]


@pytest.mark.parametrize("dtype", [BF16, F16, F32])
def test_scales_are_as_they_will_be_read(dtype: torch.dtype) -> None:
    weights = torch.randn(50, 32, generator=torch.Generator().manual_seed(0)).mul_(1e-3)
    for scale in (
        scales.from_largest(weights, 127.0, dtype),
        scales.searched(weights, 7.0, dtype, to_integers),
    ):
        assert scale.dtype is torch.float32
        assert torch.equal(scale, scale.to(dtype).float())


def test_a_scale_is_never_0_and_in_float16_never_of_few_bits() -> None:
    tiny = torch.tensor([1e-30])
    assert scales.stored(tiny, F16).item() == 2.0**-17
    assert scales.stored(torch.zeros(1), BF16).item() > 0
    assert scales.stored(tiny, BF16).item() == pytest.approx(1e-30, rel=0.01)


def test_the_search_clips_a_lone_outlier() -> None:
    weights = torch.full((1, 64), 0.9)
    weights[0, 0] = 10.0
    plain = scales.from_largest(weights, 7.0, F32)
    searched = scales.searched(weights, 7.0, F32, to_integers)
    assert searched < plain
    assert lost(weights, searched) < 0.7 * lost(weights, plain)


def test_each_group_is_searched_on_its_own() -> None:
    weights = torch.randn(3, 4, 32, generator=torch.Generator().manual_seed(1))
    together = scales.searched(weights, 7.0, BF16, to_integers)
    alone = [scales.searched(group, 7.0, BF16, to_integers) for group in weights.view(-1, 32)]
    assert together.shape == (3, 4, 1)
    assert torch.equal(together.flatten(), torch.cat(alone))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_an_error(value: float) -> None:
    with pytest.raises(BadWeightsError, match="it holds NaN or infinity"):
        scales.checked_range(torch.tensor([[1.0, value]]))


def test_the_range_is_of_each_group() -> None:
    least, most = scales.checked_range(torch.tensor([[1.0, -2.0], [3.0, 4.0]]))
    assert (least.tolist(), most.tolist()) == ([[-2.0], [3.0]], [[1.0], [4.0]])
