"""A folder's tensors as an engine multiplies with them."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from models.refs import QuantScheme
from quantize.errors import QuantizeError
from quantize.formats.forms import Linear
from quantize.measuring import matrices
from quantize.measuring.matrices import Folder, tiles
from tests.contracts.quantizer import quantizer_of


@pytest.fixture
def weights():
    return torch.randn(20, 64, generator=torch.Generator().manual_seed(0))


def folder_of(path, tensors):
    save_file(tensors, path / "model.safetensors")
    return path


def quantised_folder(path, weights, scheme):
    quantizer = quantizer_of(scheme, group=32, is_symmetric=True)
    linear = Linear(name="m", num_out=len(weights), num_in=64, dtype="F32")
    linear = replace(linear, form=quantizer.form_of(linear))
    parts = quantizer.quantise(weights, linear)
    folder_of(path, {f"m.{suffix}": part for suffix, part in parts.items()})
    return linear, quantizer, quantizer.dequantise(parts, linear)


def test_full_weights_are_read_by_rows_in_float32(tmp_path, weights):
    folder_of(tmp_path, {"m.weight": weights.bfloat16()})
    with Folder(tmp_path) as folder:
        matrix = folder.matrix("m")
        assert (matrix.num_out, matrix.num_in, matrix.num_bytes) == (20, 64, 2 * 20 * 64)
        assert not matrix.is_quantised
        assert torch.equal(matrix.rows(3, 7), weights.bfloat16().float()[3:7])


@pytest.mark.parametrize(
    "scheme",
    [QuantScheme.INT8, QuantScheme.INT4, QuantScheme.FP8, QuantScheme.NF4, QuantScheme.BNB_INT8],
)
def test_any_rows_of_a_quantised_matrix_are_those_of_the_whole(tmp_path, weights, scheme):
    linear, quantizer, whole = quantised_folder(tmp_path, weights, scheme)
    with Folder(tmp_path, [linear], quantizer) as folder:
        matrix = folder.matrix("m")
        assert matrix.is_quantised
        for begin, end in ((0, 20), (3, 4), (7, 9), (16, 20), (19, 20)):
            assert torch.equal(matrix.rows(begin, end), whole[begin:end])


def test_what_is_not_stored_as_the_scheme_says_is_an_error(tmp_path, weights):
    linear, quantizer, _ = quantised_folder(tmp_path, weights, QuantScheme.INT8)
    other = replace(linear, form=replace(linear.form, group_size=64))
    message = r"m\.weight_scale is missing, or is not what"
    with (
        Folder(tmp_path, [other], quantizer) as folder,
        pytest.raises(QuantizeError, match=message),
    ):
        folder.matrix("m").rows(0, 8)


def test_what_is_missing_or_no_matrix_is_named(tmp_path):
    folder_of(tmp_path, {"norm.weight": torch.ones(4)})
    with Folder(tmp_path) as folder:
        assert folder.has("norm")
        assert not folder.has("absent")
        assert folder.tensor("norm.weight").tolist() == [1, 1, 1, 1]
        with pytest.raises(QuantizeError, match=r"norm\.weight is \[4\] and no matrix"):
            folder.matrix("norm")
        with pytest.raises(QuantizeError, match=r"has no weight absent\.weight, which config"):
            folder.matrix("absent")


def test_a_folder_counts_all_that_it_stores(tmp_path, weights):
    folder_of(tmp_path, {"m.weight": weights, "n.weight": torch.ones(4).bfloat16()})
    with Folder(tmp_path) as folder:
        assert folder.num_weights == 20 * 64 + 4
        assert folder.num_bytes == 4 * 20 * 64 + 8


def test_tiles_are_rows_by_eight_and_cover_the_matrix(tmp_path, weights, monkeypatch):
    folder_of(tmp_path, {"m.weight": weights})
    with Folder(tmp_path) as folder:
        assert tiles(folder.matrix("m")) == [(0, 20)]
        monkeypatch.setattr(matrices, "TILE_WEIGHTS", 15 * 64)
        assert tiles(folder.matrix("m")) == [(0, 8), (8, 16), (16, 20)]
        monkeypatch.setattr(matrices, "TILE_WEIGHTS", 1)
        assert tiles(folder.matrix("m"))[0] == (0, 8)
