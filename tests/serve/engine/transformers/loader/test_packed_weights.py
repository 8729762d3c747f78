"""What a checkpoint stores of a matrix, as quantize/ packs it, and several as one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from quantize.formats import packing
from serve.engine.transformers.loader import packed_weights
from serve.engine.transformers.loader.packed_weights import Integers


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("columns", [64, 40])
def test_words_are_unpacked(bits: int, columns: int) -> None:
    half = 1 << (bits - 1)
    values = torch.randint(-half, half, (9, columns), dtype=torch.int8)
    unpacked = packed_weights.of_words(packing.pack(values, bits), bits, columns)
    assert torch.equal(unpacked.int() - half, values.int())


def test_a_last_word_that_is_not_full() -> None:
    values = torch.randint(-8, 8, (9, 48), dtype=torch.int8)
    unpacked = packed_weights.of_words(packing.pack(values, 4), 4, 43)
    assert torch.equal(unpacked.int() - 8, values[:, :43].int())


@pytest.mark.parametrize("num_out", [16, 13])
def test_words_of_zero_points_are_unpacked(num_out: int) -> None:
    zeros = torch.randint(0, 16, (num_out, 3), dtype=torch.uint8)
    assert torch.equal(packed_weights.of_zero_words(packing.pack_rows(zeros), num_out), zeros)


def test_signed_bytes_are_as_unsigned() -> None:
    values = torch.arange(-128, 128).to(torch.int8)
    assert packed_weights.as_unsigned(values).tolist() == list(range(256))


def integers(num_out: int) -> Integers:
    return Integers(
        bits=4,
        weight=torch.randint(0, 16, (num_out, 64), dtype=torch.uint8),
        scale=torch.rand(num_out, 2).bfloat16(),
        zeros=torch.randint(0, 16, (num_out, 2), dtype=torch.uint8),
    )


def test_layers_that_are_stored_alike_become_one() -> None:
    parts = [integers(num_out) for num_out in (24, 7, 8)]
    wide = packed_weights.join(parts)
    assert wide is not None
    assert wide.zeros is not None
    x = torch.randn(3, 64)
    results = [part.linear(None)(x) for part in parts]
    assert torch.equal(wide.linear(None)(x), torch.cat(results, 1))


def test_others_do_not() -> None:
    one = integers(8)
    others = (
        replace(one, bits=8, zeros=None),
        replace(one, zeros=None),
        replace(one, scale=one.scale[:, :1], zeros=one.zeros[:, :1]),  # type: ignore[index]
        replace(one, weight=torch.cat([one.weight] * 2, 1)),
    )
    for other in others:
        assert packed_weights.join([one, other]) is None
