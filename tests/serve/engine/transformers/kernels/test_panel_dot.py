"""One row times one panel, from bytes that are written out here by hand."""

from __future__ import annotations

import pytest
import torch

from serve.engine.transformers.kernels import panel_dot
from serve.engine.transformers.kernels.compiling import exact
from serve.engine.transformers.kernels.intrinsics import pointer
from serve.engine.transformers.kernels.layout import BLOCK, PANEL, Form


def multiplied(
    form: Form,
    weight: torch.Tensor,
    scale: torch.Tensor,
    row: torch.Tensor,
    row_scales: list[float],
) -> torch.Tensor:
    """``[16]`` of a row of int8 in blocks with these scales; weights share one group."""
    dots, num_blocks = panel_dot.dots(form, 1, 1), len(row_scales)
    starts = row.view(num_blocks, BLOCK).int().sum(1, dtype=torch.int32) * -form.zero
    parts = (row.to(torch.int8), torch.tensor(row_scales), starts)
    prepared = torch.cat([part.view(torch.uint8) for part in parts])

    @exact
    def run(weight, row, scale, blocks, out):
        dots(pointer(weight), pointer(row), 0, pointer(scale), 1, blocks, pointer(out))

    out = torch.empty(PANEL)
    addresses = (weight.data_ptr(), prepared.data_ptr(), scale.data_ptr())
    run(*addresses, num_blocks, out.data_ptr())
    return out


def test_eight_bits_lie_in_fours_of_each_output() -> None:
    torch.manual_seed(0)
    stored = torch.randint(0, 256, (PANEL, 2 * BLOCK), dtype=torch.uint8)
    weight = stored.view(PANEL, 2 * BLOCK // 4, 4).transpose(0, 1).contiguous()
    scale, row = torch.rand(PANEL), torch.randint(-127, 128, (2 * BLOCK,))
    result = multiplied(Form(8, scale_bytes=4), weight, scale, row, [0.5, 2.0])
    products = ((stored.double() - 128) * row).view(PANEL, 2, BLOCK).sum(-1)
    expected = (products @ torch.tensor([0.5, 2.0]).double()) * scale.double()
    torch.testing.assert_close(result.double(), expected, rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize("has_zeros", [True, False])
def test_four_bits_hold_the_halves_of_a_block(has_zeros: bool) -> None:
    torch.manual_seed(1)
    stored = torch.randint(0, 16, (PANEL, BLOCK), dtype=torch.uint8)
    low, high = (half.view(PANEL, 4, 4).transpose(0, 1) for half in stored.chunk(2, 1))
    weight = (low | (high << 4)).contiguous()
    scale, row = torch.rand(PANEL).bfloat16(), torch.randint(-127, 128, (BLOCK,))
    zeros = torch.randint(0, 16, (PANEL,), dtype=torch.uint8)
    entry = torch.cat([scale.view(torch.uint8), zeros]) if has_zeros else scale.view(torch.uint8)
    result = multiplied(Form(4, has_zeros=has_zeros), weight, entry, row, [0.25])
    less = zeros.double()[:, None] if has_zeros else 8
    expected = ((stored.double() - less) @ row.double()) * 0.25 * scale.double()
    torch.testing.assert_close(result.double(), expected, rtol=1e-6, atol=1e-4)
