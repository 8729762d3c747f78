"""Scale and zero point of a group of columns, each column counted by its cost."""

import pytest
import torch

from quantize.errors import BadWeightsError
from quantize.formats.forms import Form
from quantize.gptq import choosing

FOUR = Form(num_bits=4, group_size=32)
ZEROS = Form(num_bits=4, group_size=32, is_symmetric=False)
EIGHT = Form(num_bits=8, group_size=32)
FORMS = pytest.mark.parametrize("form", [FOUR, ZEROS, EIGHT])


def random_columns(seed=0, num=32, rows=8):
    return torch.randn(num, rows, generator=torch.Generator().manual_seed(seed))


def lost(columns, cost, chosen, form):
    scale, zero = chosen
    values = (choosing.integers(columns, scale, zero, form) - zero) * scale
    return ((values - columns) ** 2 * cost).sum(0)


@pytest.mark.parametrize(
    ("form", "least", "most"), [(FOUR, -8, 7), (ZEROS, 0, 15), (EIGHT, -127, 127)]
)
def test_integers_are_those_that_can_be_stored(form, least, most):
    values = torch.tensor([-1e6, 1e6])
    found = choosing.integers(values, torch.ones(1), torch.zeros(1), form)
    assert found.tolist() == [least, most]


@FORMS
def test_scales_are_as_they_will_be_read_and_zero_points_whole(form):
    columns = random_columns()
    scale, zero = choosing.scale_and_zero(columns, torch.ones(32, 1), form, torch.bfloat16)
    assert scale.shape == zero.shape == (8,)
    assert (scale > 0).all()
    assert torch.equal(scale, scale.bfloat16().float())
    assert set(zero.tolist()) <= (set(range(16)) if form is ZEROS else {0.0})


@pytest.mark.parametrize("form", [FOUR, ZEROS])
def test_what_a_column_costs_moves_the_scale(form):
    columns, even = random_columns(1), torch.ones(32, 1)
    cost = torch.ones(32, 1)
    cost[:4] = 1000
    by_cost = choosing.scale_and_zero(columns, cost, form, torch.bfloat16)
    evenly = choosing.scale_and_zero(columns, even, form, torch.bfloat16)
    assert lost(columns, cost, by_cost, form).sum() < lost(columns, cost, evenly, form).sum()
    assert lost(columns, even, evenly, form).sum() < lost(columns, even, by_cost, form).sum()


def test_eight_bits_take_the_range_as_it_is():
    columns = torch.tensor([[-2.54], [1.0]])
    scale, zero = choosing.scale_and_zero(columns, torch.ones(2, 1), EIGHT, torch.float32)
    assert scale.item() == pytest.approx(0.02)
    assert zero.item() == 0


@FORMS
def test_rows_of_zeros_have_the_scale_1(form):
    scale, zero = choosing.scale_and_zero(
        torch.zeros(32, 2), torch.ones(32, 1), form, torch.bfloat16
    )
    assert scale.tolist() == [1.0, 1.0]
    assert zero.tolist() == [0.0, 0.0]


@FORMS
def test_what_is_no_number_is_an_error(form):
    columns = random_columns()
    for value in (torch.nan, torch.inf):
        columns[3, 2] = value
        with pytest.raises(BadWeightsError):
            choosing.scale_and_zero(columns, torch.ones(32, 1), form, torch.bfloat16)
