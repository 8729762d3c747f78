"""Words of the cache, in small functions that Numba compiles."""

from __future__ import annotations

import torch

from serve.engine.transformers.kernels import word_vectors
from serve.engine.transformers.kernels.compiling import exact
from serve.engine.transformers.kernels.intrinsics import pointer

LANES = 8


def test_words_of_rows_become_columns_and_what_is_beside_them_is_not_read() -> None:
    transpose = word_vectors.transposed(LANES)

    @exact
    def run(rows, stride, num_words, out):
        transpose(pointer(rows), stride, num_words, pointer(rows), stride, pointer(out))

    rows = torch.arange(LANES * 12, dtype=torch.int32).view(LANES, 12)
    out = torch.full((16, LANES), -1, dtype=torch.int32)
    run(rows.data_ptr(), 4 * 12, 10, out.data_ptr())
    assert torch.equal(out[:10], rows[:, :10].T)
    assert not out[10:].any()  # of the last vectors, filled
