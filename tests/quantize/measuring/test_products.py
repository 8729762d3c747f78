"""Products tile by tile, with inputs as engines round them."""

import pytest
import torch
from safetensors.torch import save_file

from quantize.measuring import matrices, rounding
from quantize.measuring.matrices import Folder
from quantize.measuring.products import rounded, streamed, tile_products


class Quantised:
    is_quantised = True


@pytest.fixture
def folder(tmp_path, monkeypatch):
    torch.manual_seed(0)
    save_file({"m.weight": torch.randn(20, 64)}, tmp_path / "model.safetensors")
    monkeypatch.setattr(matrices, "TILE_WEIGHTS", 8 * 64)
    with Folder(tmp_path) as folder:
        yield folder


def test_tiles_make_the_product_of_the_whole_and_its_bytes_are_told(folder):
    inputs = torch.randn(3, 64)
    read = []
    products = streamed(folder, None, read.append)("m", inputs)
    torch.testing.assert_close(products, inputs @ folder.matrix("m").rows(0, 20).T)
    assert read == [4 * 20 * 64]


def test_each_tile_says_its_rows(folder):
    inputs = torch.randn(3, 64)
    places = [(begin, end) for begin, end, _ in tile_products(inputs, folder.matrix("m"))]
    assert places == [(0, 8), (8, 16), (16, 20)]


def test_inputs_are_rounded_for_quantised_layers_alone(folder):
    inputs = torch.randn(3, 64)
    plain = folder.matrix("m")
    assert rounded(inputs, plain, rounding.in_blocks) is inputs
    assert rounded(inputs, Quantised(), None) is inputs
    there = rounded(inputs, Quantised(), rounding.in_blocks)
    assert torch.equal(there, rounding.in_blocks(inputs))
    assert not torch.equal(there, inputs)
