"""Products in tiles of outputs, and the type that they are computed in."""

from __future__ import annotations

import pytest
import torch

from serve.engine.transformers.layers import tiles
from serve.engine.transformers.layers.tiles import TILE


@pytest.mark.parametrize("num_out", [1, TILE, TILE + 1, 2 * TILE + 7])
def test_each_output_is_unpacked_once(num_out: int) -> None:
    torch.manual_seed(0)
    rows, weight = torch.randn(3, 16), torch.randn(num_out, 16)
    asked_for: list[tuple[int, int]] = []

    def tile(start: int, stop: int) -> torch.Tensor:
        asked_for.append((start, stop))
        return weight[start:stop]

    result = tiles.multiply(rows, num_out, tile)
    torch.testing.assert_close(result, rows @ weight.T, rtol=1e-5, atol=1e-5)
    assert [output for bounds in asked_for for output in range(*bounds)] == list(range(num_out))
    assert all(stop - start <= TILE for start, stop in asked_for)


@pytest.mark.parametrize(
    ("dtype", "has_products", "expected"),
    [
        (torch.bfloat16, True, torch.bfloat16),
        (torch.bfloat16, False, torch.float32),
        (torch.float32, True, torch.float32),
        (torch.float16, True, torch.float32),  # torch computes it one number at a time on a CPU
    ],
)
def test_products_are_in_what_the_processor_multiplies(
    monkeypatch: pytest.MonkeyPatch,
    dtype: torch.dtype,
    has_products: bool,
    expected: torch.dtype,
) -> None:
    monkeypatch.setattr(tiles, "has_bfloat16_products", lambda: has_products)
    rows = torch.ones(2, 16, dtype=dtype)
    assert tiles.multiplied_as(rows) is expected
    result = tiles.multiply(rows, 5, lambda start, stop: torch.ones(stop - start, 16))
    assert result.dtype is expected
    assert torch.equal(result, torch.full((2, 5), 16, dtype=expected))


def test_bfloat16_products_are_asked_of_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    has_products = tiles.has_bfloat16_products.__wrapped__
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not has_products()
