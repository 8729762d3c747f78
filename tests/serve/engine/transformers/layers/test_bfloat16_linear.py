"""bfloat16 layers, where the processor multiplies bfloat16 and where it does not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from serve.engine.transformers.layers import tiles
from serve.engine.transformers.layers.bfloat16_linear import BFloat16Linear, install


@pytest.mark.parametrize("rows", [1, 2, 3, 40])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("has_products", [True, False])
def test_the_product_is_the_same_and_the_weight_too(
    monkeypatch: pytest.MonkeyPatch, rows: int, bias: bool, has_products: bool
) -> None:
    monkeypatch.setattr(tiles, "has_bfloat16_products", lambda: has_products)
    torch.manual_seed(0)
    linear = nn.Linear(96, 600, bias=bias).to(torch.bfloat16)  # more than two tiles
    x = torch.randn(rows, 96).bfloat16()
    exact = nn.functional.linear(
        x.double(), linear.weight.double(), linear.bias.double() if bias else None
    )
    model = nn.Sequential(linear)
    with torch.inference_mode():
        assert install(model) == 1
        result = model(x)
        assert model(x[None])[0].equal(result)
    assert isinstance(model[0], BFloat16Linear)
    assert model[0].weight is linear.weight
    assert result.dtype is torch.bfloat16
    assert ((result.double() - exact).norm() / exact.norm()) < 4e-3


@pytest.mark.parametrize(("has_products", "num_tiles"), [(True, 0), (False, 3)])
def test_many_rows_are_unpacked_only_where_torch_is_slow(
    monkeypatch: pytest.MonkeyPatch, has_products: bool, num_tiles: int
) -> None:
    """Decided when the layer is made; a few rows are the loops' own either way."""
    monkeypatch.setattr(tiles, "has_bfloat16_products", lambda: has_products)
    layer = BFloat16Linear(nn.Linear(96, 600).to(torch.bfloat16))
    bounds: list[tuple[int, int]] = []
    multiply = tiles.multiply

    def watched(rows: torch.Tensor, num_out: int, tile: tiles.Tile) -> torch.Tensor:
        def noted(start: int, stop: int) -> torch.Tensor:
            bounds.append((start, stop))
            return tile(start, stop)

        return multiply(rows, num_out, noted)

    monkeypatch.setattr(tiles, "multiply", watched)
    with torch.inference_mode():
        layer(torch.randn(40, 96).bfloat16())
    assert len(bounds) == num_tiles


def test_other_types_stay_as_they_are() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    assert install(model) == 0
    assert type(model[0]) is nn.Linear
