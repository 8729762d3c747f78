"""Rounding that makes up for itself, against the plain way and against the paper's loop."""

import pytest
import torch

from quantize.errors import BadWeightsError
from quantize.formats.forms import Form
from quantize.gptq import choosing, compensation

FORMS = [
    Form(num_bits=4, group_size=32, is_symmetric=False),
    Form(num_bits=4, group_size=32),
    Form(num_bits=8, group_size=32),
]


def inputs(num: int, columns: int) -> torch.Tensor:
    """Columns that go together, of very different sizes, as activations are."""
    torch.manual_seed(0)
    mixed = torch.randn(num, columns // 4) @ torch.randn(columns // 4, columns)
    return (mixed + 0.3 * torch.randn(num, columns)) * torch.logspace(-1, 1, columns)


def made(found: compensation.Rounded, form: Form) -> torch.Tensor:
    middle = 1 << (form.num_bits - 1)
    zero = 0 if found.zero is None else (found.zero - middle).unsqueeze(-1)
    grouped = found.integers.float().view(len(found.integers), -1, form.group_size) - zero
    return (grouped * found.scale.unsqueeze(-1)).flatten(1)


def lost(weights: torch.Tensor, other: torch.Tensor, given: torch.Tensor) -> float:
    return float((given @ (weights - other).T).square().sum())


@pytest.mark.parametrize("form", FORMS)
def test_answers_are_kept_better_than_without(form):
    given, weights = inputs(400, 128), torch.randn(16, 128)
    by = compensation.factor(given.T @ given, 32)
    alone = compensation.rounded(
        weights, compensation.factor(torch.eye(128), 32), form, torch.bfloat16
    )
    found = compensation.rounded(weights, by, form, torch.bfloat16)
    assert lost(weights, made(found, form), given) < 0.6 * lost(weights, made(alone, form), given)


@pytest.mark.parametrize("form", FORMS)
def test_it_is_the_papers_loop(form):
    given, weights = inputs(400, 64), torch.randn(8, 64)
    by = compensation.factor(given.T @ given, 32)
    found = compensation.rounded(weights, by, form, torch.bfloat16)
    left, exact = weights[:, by.order].double(), by.upper.double()
    middle = 0 if form.is_symmetric else 8
    num_other = 0
    for i, column in enumerate(by.order.tolist()):
        scale = found.scale[:, column // 32]
        zero = 0 * scale if found.zero is None else found.zero[:, column // 32]
        integer = choosing.integers(left[:, i].float(), scale, zero, form) - middle
        num_other += int((integer != found.integers[:, column]).sum())
        error = left[:, i] - (found.integers[:, column] + middle - zero) * scale
        left[:, i + 1 :] -= torch.outer(error / exact[i, i], exact[i, i + 1 :])
    assert num_other <= 3  # of 512: halves that float32 rounds the other way


def test_the_largest_inputs_come_first_and_groups_stay_together():
    energy = torch.tensor([1.0, 2.0, 9.0, 8.0, 3.0, 0.5])
    assert compensation._order(energy, 2).tolist() == [2, 3, 4, 5, 1, 0]


@pytest.mark.parametrize("form", FORMS)
def test_rows_do_not_depend_on_each_other(form):
    given, weights = inputs(200, 64), torch.randn(16, 64)
    by = compensation.factor(given.T @ given, 32)
    whole = compensation.rounded(weights, by, form, torch.bfloat16)
    half = compensation.rounded(weights[8:], by, form, torch.bfloat16)
    assert (whole.integers[8:] != half.integers).float().mean() < 0.01  # sums in another order


@pytest.mark.parametrize("form", FORMS)
def test_integers_and_scales_are_such_as_can_be_stored(form):
    by = compensation.factor(inputs(200, 64).T @ inputs(200, 64), 32)
    found = compensation.rounded(10 * torch.randn(8, 64), by, form, torch.bfloat16)
    half = 1 << (form.num_bits - 1)
    assert found.integers.min() >= -half + (form.num_bits == 8)
    assert found.integers.max() <= half - 1
    assert torch.equal(found.scale, found.scale.bfloat16().float())
    if found.zero is not None:
        assert set(found.zero.flatten().tolist()) <= set(range(16))


def test_inputs_that_never_came_do_not_end_it():
    given = inputs(20, 64)  # fewer rows than columns
    given[:, 5] = 0
    by = compensation.factor(given.T @ given, 32)
    assert torch.isfinite(by.upper).all()
    assert torch.isfinite(compensation.factor(torch.zeros(8, 8), None).upper).all()


def test_a_weight_or_an_input_that_is_no_number_is_an_error():
    weights = torch.randn(8, 32)
    weights[3, 7] = torch.nan
    plain = compensation.factor(torch.eye(32), 32)
    with pytest.raises(BadWeightsError, match="NaN"):
        compensation.rounded(weights, plain, FORMS[0], torch.bfloat16)
    with pytest.raises(BadWeightsError, match="inputs hold NaN"):
        compensation.factor(torch.full((4, 4), torch.nan), 4)
