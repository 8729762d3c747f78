"""Products of any number of rows have few shapes, and nothing of the filling is in them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from serve.engine.transformers.layers import bfloat16_linear, span_attention, tiles
from serve.engine.transformers.layers.sizes import filled, rounded, rounded_columns
from serve.engine.transformers.layers.span_attention import Layer

MOST_ROWS = 512
PRODUCTS = {"aten::mm", "aten::addmm", "aten::bmm"}

needs_products = pytest.mark.skipif(
    not tiles.has_bfloat16_products(), reason="this processor does not multiply bfloat16"
)


class Shapes(TorchDispatchMode):
    """The shapes of all bfloat16 products within the block."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[torch.Size, ...]] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func.name().split(".")[0] in PRODUCTS:
            tensors = [arg for arg in args if isinstance(arg, torch.Tensor)]
            if tensors[-1].dtype is torch.bfloat16:
                self.seen.add(tuple(tensor.shape for tensor in tensors))
        return func(*args, **(kwargs or {}))


@pytest.fixture
def shapes() -> Iterator[Shapes]:
    with torch.no_grad(), Shapes() as shapes:
        yield shapes


def test_a_size_holds_what_it_is_for_and_is_little_more() -> None:
    sizes = {rounded(num) for num in range(1, MOST_ROWS + 1)}
    assert len(sizes) == 16
    assert {rounded(size) for size in sizes} == sizes
    for num in range(1, 40_000):
        assert num <= rounded(num) < num + max(16, num / 4)


def test_columns_have_fewer_sizes() -> None:
    sizes = {rounded_columns(num) for num in range(1, 2049)}
    assert sizes == {64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048}
    for num in range(1, 40_000):
        assert num <= rounded_columns(num) < num + max(64, num / 2)


def test_filling_is_zeros() -> None:
    rows = torch.ones(17, 3)
    assert torch.equal(filled(rows)[:17], rows)
    assert not filled(rows)[17:].any()


@needs_products
def test_a_layer_multiplies_in_few_shapes(shapes: Shapes) -> None:
    layer = bfloat16_linear.BFloat16Linear(nn.Linear(64, 48).to(torch.bfloat16))
    for num_rows in range(2, MOST_ROWS + 1, 5):
        rows = torch.randn(1, num_rows, 64).to(torch.bfloat16)
        assert layer(rows).shape == (1, num_rows, 48)
    assert 0 < len(shapes.seen) <= 16


@needs_products
@pytest.mark.parametrize("window", [None, 100])
def test_attention_multiplies_in_few_shapes(shapes: Shapes, window: int | None) -> None:
    layer = Layer(index=0, sliding_window=window)
    for num_rows in range(2, MOST_ROWS, 11):
        past = 7 * num_rows % 1000
        query = torch.randn(num_rows, 2, 16).to(torch.bfloat16)
        keys = torch.randn(1, past + num_rows, 16).to(torch.bfloat16)
        attended = span_attention.attend_in_tiles(query, keys, keys, layer, past=past)
        assert attended.shape == query.shape
    # To 1,536 columns there are 9 sizes; in each, products with the keys and with the values.
    assert 0 < len(shapes.seen) <= 2 * 9


@needs_products
def test_unpacked_tiles_multiply_in_few_shapes(shapes: Shapes) -> None:
    weight = torch.randn(48, 64).to(torch.bfloat16)
    for num_rows in range(2, MOST_ROWS + 1, 5):
        rows = torch.randn(num_rows, 64).to(torch.bfloat16)
        assert tiles.multiply(rows, 48, lambda a, b: weight[a:b]).shape == (num_rows, 48)
    assert 0 < len(shapes.seen) <= 16
