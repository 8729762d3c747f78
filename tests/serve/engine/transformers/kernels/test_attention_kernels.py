"""A decode's attention over the cache, against the definition: order of blocks, windows, heads."""

from __future__ import annotations

import pytest
import torch

from serve.engine.transformers.kernels import attention_kernels, native
from serve.engine.transformers.kernels.attend_rows import AttendMemory, AttendRows
from serve.engine.transformers.kv_cache import BLOCK_SIZE

DIM = 8


def attended(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    *,
    tables: list[list[int]],
    lengths: list[int],
    window: int = 0,
    lanes: int = 16,
) -> torch.Tensor:
    """Of queries ``[N, H, D]`` over pools ``[slots, Hkv, D]``."""
    num_rows, num_heads, dim = query.shape
    num_kv = keys.shape[1]
    nothing = torch.full((num_rows, 2 * num_kv, dim), torch.nan)
    memory = AttendMemory(num_rows=num_rows, num_heads=num_heads, num_kv_heads=num_kv, dim=dim)
    for part in (memory.partials, memory.scratch):
        part.fill_(torch.nan)
    rows = AttendRows(memory, num_blocks=len(keys) // BLOCK_SIZE)
    rows.fill(
        [(range(length - 1, length), table) for table, length in zip(tables, lengths, strict=True)]
    )
    queries = torch.cat([query, nothing], 1).contiguous()
    out, counter = torch.full_like(query, torch.nan), torch.zeros(1, dtype=torch.int64)
    _, arguments = rows.call(
        queries=queries,
        keys=keys,
        values=values,
        out=out,
        scale=0.5,
        window=window,
        num_rows=num_rows,
        counter=counter.data_ptr(),
    )
    kernel = attention_kernels.attend(
        is_bfloat16=keys.dtype is torch.bfloat16, group=num_heads // num_kv, lanes=lanes
    )
    native.run(kernel, arguments)
    assert not memory.waiting.any()
    return out


def defined(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, slots: list[int]
) -> torch.Tensor:
    """One row's ``[H, D]``, over these places of the pools."""
    group = len(query) // keys.shape[1]
    k, v = (
        pool[slots].double().repeat_interleave(group, 1).transpose(0, 1) for pool in (keys, values)
    )
    scores = (k @ query.double()[:, :, None])[:, :, 0] * 0.5
    return (scores.softmax(-1)[:, None] @ v)[:, 0]


@pytest.mark.parametrize("window", [0, 1, 5, 100])
@pytest.mark.parametrize(
    ("dtype", "lanes"), [(torch.float32, 16), (torch.bfloat16, 16), (torch.bfloat16, 8)]
)
def test_rows_see_their_own_sequence_up_to_its_end(
    dtype: torch.dtype, window: int, lanes: int
) -> None:
    torch.manual_seed(0)
    tables, lengths = [[3, 1], [2], [0, 4]], [BLOCK_SIZE + 6, 1, 2 * BLOCK_SIZE]
    keys, values = torch.randn(2, 5 * BLOCK_SIZE, 2, DIM).to(dtype)
    for pool in (keys, values):  # block 1 beyond the first row's end
        pool[BLOCK_SIZE + 6 : 2 * BLOCK_SIZE] = torch.nan
    query = torch.randn(3, 4, DIM)
    result = attended(
        query, keys, values, tables=tables, lengths=lengths, window=window, lanes=lanes
    )
    for row, (table, length) in enumerate(zip(tables, lengths, strict=True)):
        places = [block * BLOCK_SIZE + place for block in table for place in range(BLOCK_SIZE)]
        seen = places[max(0, length - window) if window else 0 : length]
        expected = defined(query[row], keys, values, seen)
        torch.testing.assert_close(result[row].double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("dtype", "group", "dim", "lanes"),
    [
        (torch.float32, 10, 24, 8),
        (torch.bfloat16, 9, 80, 16),
        (torch.bfloat16, 9, 36, 16),
        (torch.bfloat16, 9, 128, 16),
    ],
)
def test_heads_of_any_number_and_size(dtype: torch.dtype, group: int, dim: int, lanes: int) -> None:
    torch.manual_seed(1)
    keys, values = torch.randn(2, 12 * BLOCK_SIZE, 3, dim).to(dtype)
    query = torch.randn(1, 3 * group, dim) * 0.3
    length = 11 * BLOCK_SIZE + 9
    table = list(range(11, -1, -1))
    result = attended(query, keys, values, tables=[table], lengths=[length], lanes=lanes)
    places = [block * BLOCK_SIZE + place for block in table for place in range(BLOCK_SIZE)]
    expected = defined(query[0], keys, values, places[:length])
    torch.testing.assert_close(result[0].double(), expected, rtol=1e-5, atol=2e-6)


def test_a_row_is_summed_in_one_order_whatever_its_company_and_the_threads() -> None:
    """Rows of one sequence one after the other, as forced tokens are, among those of others."""
    torch.manual_seed(2)
    keys, values = torch.randn(2, 180 * BLOCK_SIZE, 2, DIM)
    lengths = [2000, 5000, 5001, 5002, 1, 700]
    tables = [
        list(range(row, row + -(-length // BLOCK_SIZE))) for row, length in enumerate(lengths)
    ]
    query = torch.randn(len(lengths), 4, DIM)
    together = attended(query, keys, values, tables=tables, lengths=lengths)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            for row, length in enumerate(lengths):
                alone = attended(
                    query[row : row + 1], keys, values, tables=[tables[row]], lengths=[length]
                )
                assert torch.equal(alone[0], together[row])
    finally:
        torch.set_num_threads(before)


def test_scores_far_apart_do_not_overflow() -> None:
    keys, values = torch.zeros(2, BLOCK_SIZE, 2, DIM)
    keys[0], values[0], values[1:] = 1e4, 1.0, -1.0
    query = torch.full((1, 4, DIM), 1e4)
    result = attended(query, keys, values, tables=[[0]], lengths=[3])
    assert torch.equal(result, torch.ones(1, 4, DIM))


@pytest.mark.parametrize("place", ["query", "key", "value"])
def test_what_is_no_number_stays_none(place: str) -> None:
    """A head that overflowed is told by its results; the other heads are as they were."""
    torch.manual_seed(3)
    keys, values = torch.randn(2, BLOCK_SIZE, 2, DIM)
    query = torch.randn(1, 4, DIM)
    {"query": query[0], "key": keys[5], "value": values[5]}[place][0, 3] = torch.nan
    result = attended(query, keys, values, tables=[[0]], lengths=[20])
    assert result[0, 0].isnan().any()
    assert result[0, 2:].isfinite().all()
