"""Dot products by the instruction of bfloat16, where there is one."""

from __future__ import annotations

import pytest
import torch

from serve.engine.transformers.kernels import bfloat16_dot, processor
from serve.engine.transformers.kernels.bfloat16_dot import OUT_STRIDE
from serve.engine.transformers.kernels.compiling import exact
from serve.engine.transformers.kernels.intrinsics import pointer

needs_instruction = pytest.mark.skipif(
    not processor.sums_bfloat16(), reason="this processor sums no products of bfloat16"
)


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
