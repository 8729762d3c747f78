"""Rows that attend: each with its own length and blocks, in splits by nothing but its length."""

from __future__ import annotations

import torch

from serve.engine.transformers.kernels import layout
from serve.engine.transformers.kernels.attend_rows import AttendMemory, AttendRows
from serve.engine.transformers.kernels.layout import BLOCK_SIZE


def test_rows_of_a_sequence_share_its_blocks() -> None:
    memory = AttendMemory(num_rows=4, num_heads=4, num_kv_heads=2, dim=8)
    rows = AttendRows(memory, num_blocks=20)
    memory.waiting.fill_(7)  # a step that failed
    rows.fill([(range(BLOCK_SIZE, BLOCK_SIZE + 2), [5, 3, 9]), (range(1), [2])])
    assert rows._places[:, :3].tolist() == [[BLOCK_SIZE + 1, BLOCK_SIZE + 2, 1], [0, 0, 2]]
    assert rows._blocks[:3].tolist() == [5, 3, 2]
    assert rows._items[:4].tolist() == [3, 0, layout.MOST_SPLITS, 2 * layout.MOST_SPLITS]
    assert not memory.waiting.any()


def test_a_call_says_where_everything_is() -> None:
    memory = AttendMemory(num_rows=2, num_heads=4, num_kv_heads=2, dim=8)
    rows = AttendRows(memory, num_blocks=1)
    keys, values = torch.zeros(2, 1, BLOCK_SIZE, 2, 8)
    queries, out = torch.zeros(2, 8, 8), torch.zeros(2, 4, 8)
    kernel, arguments = rows.call(
        queries=queries, keys=keys, values=values, out=out, scale=0.5, window=None, num_rows=2
    )
    kernel.check(arguments)
    assert (arguments.width, arguments.window, arguments.scale) == (8, 0, 0x3F000000)
    assert (arguments.keys, arguments.out) == (keys.data_ptr(), out.data_ptr())


def test_splits_are_few_whole_and_no_fewer_for_more_blocks() -> None:
    numbers = [layout.num_splits(blocks) for blocks in range(1, 3000)]
    assert numbers == sorted(numbers)
    assert (numbers[0], max(numbers)) == (1, layout.MOST_SPLITS)
    for blocks in range(1, 3000):
        splits, size = layout.num_splits(blocks), layout.split_size(blocks)
        assert (splits - 1) * size < blocks <= splits * size
