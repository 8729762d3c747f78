"""A layer over bitsandbytes' own bytes: tiles that join, types, and what it holds."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from quantize.formats import bnb
from serve.engine.transformers.layers.nf4_linear import BLOCK, Nf4Linear

COLUMNS, OUT = 2 * BLOCK, 1024 + 40
"""More outputs than a tile."""


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def layer_of(bias: nn.Parameter | None = None) -> tuple[Nf4Linear, torch.Tensor]:
    """With its weights in float64, worked out here from the levels."""
    packed, largest, levels = bnb.quantise(torch.randn(OUT, COLUMNS), BLOCK)
    numbers = torch.stack([packed.flatten() >> 4, packed.flatten() & 15], -1).flatten().long()
    weight = (levels[numbers].double().view(-1, BLOCK) * largest.double()[:, None]).view(
        OUT, COLUMNS
    )
    return Nf4Linear(packed, largest, bias, in_features=COLUMNS), weight


@pytest.mark.parametrize(
    ("dtype", "most"), [(torch.float32, 1e-6), (torch.float16, 2e-3), (torch.bfloat16, 1e-2)]
)
def test_tiles_join_to_the_product(dtype: torch.dtype, most: float) -> None:
    bias = nn.Parameter(torch.randn(OUT).to(dtype), requires_grad=False)
    layer, weight = layer_of(bias)
    x = torch.randn(2, 3, COLUMNS).to(dtype)
    with torch.inference_mode():
        result = layer(x)
    expected = x.double() @ weight.T + bias.double()
    assert (result.dtype, result.shape) == (dtype, (2, 3, OUT))
    assert (result.double() - expected).norm() / expected.norm() < most


def test_a_tile_is_some_rows_of_the_weights() -> None:
    layer, weight = layer_of()
    tile = layer.tile(1000, 1030, torch.float32)
    torch.testing.assert_close(tile.double(), weight[1000:1030], rtol=1e-6, atol=1e-7)


def test_a_row_does_not_depend_on_the_others() -> None:
    layer, _ = layer_of()
    assert layer(torch.zeros(0, COLUMNS)).shape == (0, OUT)
    x = torch.randn(3, COLUMNS)
    clean = layer(x)
    x[1] = torch.nan
    result = layer(x)
    assert result[1].isnan().all()
    assert torch.equal(result[[0, 2]], clean[[0, 2]])


def test_what_it_holds() -> None:
    layer, _ = layer_of()
    assert (layer.stored_as, layer.scheme) == ("nf4", "nf4 (W4A16)")
    assert (layer.in_features, layer.out_features) == (COLUMNS, OUT)
    assert layer.matrix is None  # the compiled step leaves it to its module
    assert dict(layer.stored_bytes()) == {
        "nf4": OUT * COLUMNS // 2,
        "float32": OUT * COLUMNS // BLOCK * 4,
    }
