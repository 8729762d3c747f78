"""Dot products by the instruction of bfloat16, where there is one."""

from __future__ import annotations

import llvmlite.binding
import pytest
import torch

from serve.engine.transformers.kernels import bfloat16_dot
from serve.engine.transformers.kernels.bfloat16_dot import OUT_STRIDE
from serve.engine.transformers.kernels.float_kernels import exact
from serve.engine.transformers.kernels.intrinsics import pointer

needs_instruction = pytest.mark.skipif(
    not bfloat16_dot.is_available(), reason="this processor sums no products of bfloat16"
)


@pytest.mark.parametrize(
    ("length", "width"), [(64, 64), (128, 64), (96, 32), (32, 32), (16, 16), (144, 16)]
)
def test_rows_are_whole_vectors_of_the_widest_kind(length: int, width: int) -> None:
    assert bfloat16_dot.width_for(length) == width


@pytest.mark.parametrize(
    ("features", "is_available"),
    [
        ({"avx512bf16": True, "avx512vl": True}, True),
        ({"avx512bf16": True, "avx512vl": False}, False),  # no registers of 32 bytes
        ({"avx512f": True, "avx512vl": True}, False),
        ({}, False),
    ],
)
def test_the_instruction_is_there_for_all_widths_or_not(
    monkeypatch: pytest.MonkeyPatch, features: dict[str, bool], is_available: bool
) -> None:
    monkeypatch.setattr(llvmlite.binding, "get_host_cpu_features", lambda: features)
    assert bfloat16_dot.is_available.__wrapped__() is is_available


@needs_instruction
@pytest.mark.parametrize(("width", "num_in"), [(64, 64), (32, 48), (16, 24)])
def test_rows_times_rows(width: int, num_in: int) -> None:
    torch.manual_seed(width)
    dots = bfloat16_dot.dots(width, 2, 4)

    @exact
    def multiply(weight, rows, length, out):
        dots(pointer(weight), length, pointer(rows), length, length, pointer(out))

    weight, rows = torch.randn(4, num_in).bfloat16(), torch.randn(2, num_in).bfloat16()
    out = torch.full((2, OUT_STRIDE), 7.0)
    multiply(weight.data_ptr(), rows.data_ptr(), 2 * num_in, out.data_ptr())
    expected = rows.double() @ weight.double().T
    torch.testing.assert_close(out[:, :4].double(), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(out[:, 4:], torch.full((2, OUT_STRIDE - 4), 7.0))
