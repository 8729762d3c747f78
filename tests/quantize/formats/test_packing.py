"""Our words are compressed-tensors' words, both ways."""

from __future__ import annotations

import torch
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32, unpack_from_int32
from hypothesis import given
from hypothesis import strategies as st

from quantize.formats.packing import pack, pack_rows, unpack, unpack_rows


@given(
    num_bits=st.sampled_from([4, 8]),
    rows=st.integers(1, 5),
    words=st.integers(1, 9),
    seed=st.integers(0, 10_000),
)
def test_packing_is_that_of_compressed_tensors(num_bits, rows, words, seed):
    limit = 1 << (num_bits - 1)
    generator = torch.Generator().manual_seed(seed)
    columns = words * 32 // num_bits
    values = torch.randint(-limit, limit, (rows, columns), generator=generator).to(torch.int8)
    packed = pack(values, num_bits)
    assert packed.dtype == torch.int32
    assert torch.equal(packed, pack_to_int32(values, num_bits))
    assert torch.equal(unpack(packed, num_bits), values)
    assert torch.equal(unpack(packed, num_bits), unpack_from_int32(packed, num_bits, values.shape))


def test_the_extremes():
    values = torch.tensor([[-8, 7, -1, 0, 1, -8, 7, 7]], dtype=torch.int8)
    assert torch.equal(unpack(pack(values, 4), 4), values)


@given(num_rows=st.integers(1, 30), groups=st.integers(1, 9), seed=st.integers(0, 1000))
def test_zero_points_lie_as_compressed_tensors_reads_them(num_rows, groups, seed):
    generator = torch.Generator().manual_seed(seed)
    zeros = torch.randint(0, 16, (num_rows, groups), generator=generator, dtype=torch.uint8)
    words = pack_rows(zeros)
    assert words.shape == (-(-num_rows // 8), groups)
    assert torch.equal(unpack_rows(words)[:num_rows], zeros)
    theirs = unpack_from_int32(words, 4, torch.Size([num_rows, groups]), packed_dim=0)
    assert torch.equal(theirs, zeros.to(torch.int8) - 8)
