"""Operations that Numba lacks, each in a loop of its own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numba import cfunc, types

from serve.engine.transformers.kernels import intrinsics
from serve.engine.transformers.kernels.compiling import exact
from serve.engine.transformers.kernels.intrinsics import pointer
from serve.engine.transformers.kernels.layout import LANES
from tests.serve.engine.transformers.kernels.matrices import bits_of


@exact
def float_of(bits):
    return intrinsics.float_of(bits)


@exact
def bits_in_loop(number):
    return intrinsics.bits_of(number)


@exact
def count(address, times):
    last = -1
    for _ in range(times):
        last = intrinsics.count_up(address)
    return last, intrinsics.counted(address)


@exact
def store_sums(sums, bias, adds, out):
    intrinsics.store_sums(pointer(sums), pointer(bias), adds, pointer(out))


@exact
def call(function, argument):
    intrinsics.call(function, pointer(argument))


@cfunc(types.void(types.CPointer(types.int64)))
def triple(value):
    value[0] *= 3


@pytest.mark.parametrize("number", [0.0, -0.0, 1.5, -3e38, 1e-45, math.inf, math.nan])
def test_a_float_and_its_bits(number: float) -> None:
    bits = bits_of(number)
    assert bits_in_loop(np.float32(number)) == bits
    assert bits_of(float_of(np.int32(bits))) == bits


def test_counting_says_what_was_there_before() -> None:
    """So that of threads that count at once each gets a part of its own."""
    counter = torch.tensor([5, 99])
    assert count(counter.data_ptr(), 3) == (7, 8)
    assert counter.tolist() == [8, 99]


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("adds", [1, 0])
def test_sums_are_stored_with_what_is_asked_for(adds: int, has_bias: bool) -> None:
    sums, bias, out = torch.randn(3, LANES + 1)
    whole = out.clone()
    whole[:LANES] = sums[:LANES] + (bias[:LANES] if has_bias else 0) + (out[:LANES] if adds else 0)
    store_sums(sums.data_ptr(), bias.data_ptr() if has_bias else 0, adds, out.data_ptr())
    torch.testing.assert_close(out, whole, rtol=1e-6, atol=1e-6)


def test_a_function_is_called_by_its_address() -> None:
    value = torch.tensor([14])
    call(triple.address, value.data_ptr())
    assert value.item() == 42
