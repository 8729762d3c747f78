"""Modules without memory for their parameters."""

import pytest
import torch
from torch import nn

from quantize.meta_parameters import no_parameter_memory


def test_parameters_take_no_memory_and_buffers_are_real():
    with no_parameter_memory():
        norm = nn.BatchNorm1d(8)
        linear = nn.Linear(1 << 20, 4)
    assert linear.weight.is_meta
    assert linear.bias.is_meta
    assert linear.weight.shape == (4, 1 << 20)
    assert not linear.weight.requires_grad
    assert norm.weight.is_meta
    assert norm.running_var.tolist() == [1.0] * 8


def test_afterwards_parameters_are_as_ever_even_after_an_error():
    with pytest.raises(ZeroDivisionError), no_parameter_memory():
        raise ZeroDivisionError
    linear = nn.Linear(4, 4)
    assert linear.weight.device == torch.device("cpu")
    assert linear.weight.requires_grad
