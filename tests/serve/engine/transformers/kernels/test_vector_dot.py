"""Dot products of a row of floats, in vectors, against float64."""

from __future__ import annotations

import pytest
import torch

from serve.engine.transformers.kernels import vector_dot
from serve.engine.transformers.kernels.compiling import exact
from serve.engine.transformers.kernels.intrinsics import pointer
from serve.engine.transformers.kernels.layout import FloatKind

DTYPES: dict[FloatKind, torch.dtype] = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def multiplying(kind: FloatKind, num_rows: int):
    dots = vector_dot.dots(kind, num_rows)

    @exact
    def run(weight, rows, stride, length, out):
        dots(pointer(weight), pointer(rows), stride, length, pointer(out))

    return run


@pytest.mark.parametrize("kind", DTYPES)
def test_rows_apart_are_multiplied_each(kind: FloatKind) -> None:
    torch.manual_seed(0)
    weight = torch.randn(48).to(DTYPES[kind])
    rows = torch.randn(3, 64)  # of which the last 16 are not of the row
    rows[:, 48:] = torch.nan
    out = torch.full((4,), 7.0)
    multiplying(kind, 3)(weight.data_ptr(), rows.data_ptr(), 4 * 64, 48, out.data_ptr())
    expected = rows[:, :48].double() @ weight.double()
    torch.testing.assert_close(out[:3].double(), expected, rtol=1e-5, atol=1e-5)
    assert out[3] == 7


def test_a_sum_does_not_depend_on_how_many_rows_there_are() -> None:
    torch.manual_seed(1)
    weight, rows = torch.randn(160), torch.randn(3, 160) * 1e3
    together, alone = torch.empty(3), torch.empty(3)
    multiplying("float32", 3)(weight.data_ptr(), rows.data_ptr(), 640, 160, together.data_ptr())
    one = multiplying("float32", 1)
    for row in range(3):
        one(weight.data_ptr(), rows[row].data_ptr(), 640, 160, alone[row:].data_ptr())
    assert torch.equal(together, alone)
