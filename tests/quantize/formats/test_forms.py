"""Number types and the tensors that a matrix is stored as."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save

from quantize.formats.forms import FLOATS, TORCH, Linear, StoredTensor, bytes_of


@pytest.mark.parametrize(("word", "dtype"), TORCH.items())
def test_the_words_are_those_of_safetensors(word: str, dtype: torch.dtype) -> None:
    written = save({"x": torch.zeros(1, dtype=dtype)})
    assert f'"dtype":"{word}"'.encode() in written
    assert bytes_of(word) == torch.zeros(1, dtype=dtype).nbytes


def test_what_can_be_quantised_is_floating_point_of_16_bits_or_more() -> None:
    assert all(TORCH[word].is_floating_point and bytes_of(word) >= 2 for word in FLOATS)


def test_an_unknown_type_is_no_guess() -> None:
    with pytest.raises(KeyError):
        bytes_of("F4")


def test_bytes_of_a_tensor_are_of_all_its_numbers() -> None:
    assert StoredTensor(suffix="s", dtype="I32", shape=(3, 4)).num_bytes == 48
    assert StoredTensor(suffix="s", dtype="U8", shape=(), is_by_row=False).num_bytes == 1
    assert StoredTensor(suffix="s", dtype="BF16", shape=(0, 4)).num_bytes == 0


def test_a_matrix_has_rows_times_columns() -> None:
    assert Linear(name="m", num_out=3, num_in=5, dtype="BF16").num_weights == 15
