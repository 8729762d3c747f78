"""Rows of a step as attention's kernel finds them, and the memory that it writes on its way.

A row is one token's queries, with its own context: a decode, or one token of a prompt's chunk. Its
result depends on its own context alone, whatever rows it is computed with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

import torch

from serve.engine.transformers.kernels import layout, registry
from serve.engine.transformers.kernels.arguments import AttendArguments
from serve.engine.transformers.kernels.native import Kernel
from serve.engine.transformers.kv_cache import BLOCK_SIZE


class AttendMemory:
    """Memory that calls write on their way, for up to ``num_rows`` rows; one call at a time.

    Args:
        num_rows: the most.
        num_heads: query heads, a multiple of ``num_kv_heads``.
        num_kv_heads: heads of keys and values.
        dim: numbers in a head; even.
    """

    def __init__(self, *, num_rows: int, num_heads: int, num_kv_heads: int, dim: int) -> None:
        self.num_rows, self.num_heads = num_rows, num_heads
        self.num_kv_heads, self.dim = num_kv_heads, dim
        self.sizes = layout.AttendSizes(num_heads // num_kv_heads, dim, BLOCK_SIZE)
        self.partials = torch.empty(num_rows, layout.MOST_SPLITS, num_heads, self.sizes.entry)
        self.scratch = torch.empty(torch.get_num_threads(), self.sizes.scratch)
        self.waiting = torch.zeros(num_rows, num_kv_heads, dtype=torch.int64)


class AttendRows:
    """Rows of layers with heads of one number and size.

    Args:
        memory: for the calls, of as many rows.
        num_blocks: in the KV cache, which is the most of one row.
    """

    def __init__(self, memory: AttendMemory, *, num_blocks: int) -> None:
        num_rows = memory.num_rows
        self._memory = memory
        self._places = torch.empty(2, num_rows, dtype=torch.int64)  # lengths, starts in _blocks
        # Sequences may share blocks; memory that is not written costs nothing.
        self._blocks = torch.empty(num_rows * num_blocks, dtype=torch.int64)
        self._items = torch.empty(1 + num_rows * layout.MOST_SPLITS, dtype=torch.int64)

    def fill(self, rows: Sequence[tuple[range, Sequence[int]]]) -> None:
        """Say which rows the next calls are of.

        Args:
            rows: of each sequence the positions of its rows, which see what is before them and
                themselves, and its block ids, no fewer than the last position needs.
        """
        tables = [blocks[: -(-positions.stop // BLOCK_SIZE)] for positions, blocks in rows]
        firsts = accumulate(map(len, tables), initial=0)
        lengths = [position + 1 for positions, _ in rows for position in positions]
        starts = [
            first for first, (positions, _) in zip(firsts, rows, strict=False) for _ in positions
        ]
        first_rows = accumulate((len(positions) for positions, _ in rows), initial=0)
        items = [
            item
            for first, (positions, _) in zip(first_rows, rows, strict=False)
            for item in _items(first, positions)
        ]
        blocks = [block for table in tables for block in table]
        self._places[:, : len(lengths)] = torch.tensor([lengths, starts])
        self._blocks[: len(blocks)] = torch.tensor(blocks)
        self._items[: 1 + len(items)] = torch.tensor([len(items), *items])
        self._memory.waiting.zero_()  # a step that failed may have left it otherwise

    def call(
        self,
        *,
        queries: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        out: torch.Tensor,
        scale: float,
        window: int | None,
        num_rows: int = 0,
        counter: int = 0,
    ) -> tuple[Kernel, AttendArguments]:
        """The kernel, and its arguments for one layer.

        Args:
            queries: float32 ``[N, width, D]``, of which the first heads are queries.
            keys: a pool of the KV cache, float32 or bfloat16.
            values: the same.
            out: float32 ``[N, H, D]``, or of as many numbers.
            scale: of the scores.
            window: most tokens that a row sees, itself included; None sees all.
            num_rows: N; 0 where a ``CallSequence`` fills it in.
            counter: address of an int64 that is 0; 0 where a ``CallSequence`` fills it in.
        """
        memory = self._memory
        kernel = registry.attend(is_bfloat16=keys.dtype is torch.bfloat16, group=memory.sizes.group)
        return kernel, AttendArguments(
            num_rows=num_rows,
            width=queries[0].numel() // memory.dim,
            num_heads=memory.num_heads,
            num_kv_heads=memory.num_kv_heads,
            head_dim=memory.dim,
            window=window or 0,
            scratch_size=memory.sizes.scratch,
            entry=memory.sizes.entry,
            counter=counter,
            queries=queries.data_ptr(),
            keys=keys.data_ptr(),
            values=values.data_ptr(),
            starts=self._places[1].data_ptr(),
            lengths=self._places[0].data_ptr(),
            blocks=self._blocks.data_ptr(),
            items=self._items.data_ptr(),
            waiting=memory.waiting.data_ptr(),
            out=out.data_ptr(),
            partials=memory.partials.data_ptr(),
            scratch=memory.scratch.data_ptr(),
            scale=int(torch.tensor(scale, dtype=torch.float32).view(torch.int32)),
        )


def _items(first_row: int, positions: range) -> Iterator[int]:
    """Splits of one sequence's rows, in memory's order; while a cache holds one, all rows read it.

    Args:
        first_row: the first one's number.
        positions: of the rows.
    """
    numbers = [layout.num_splits(-(-(position + 1) // BLOCK_SIZE)) for position in positions]
    for split in range(max(numbers)):
        for row, number in enumerate(numbers, first_row):
            if split < number:
                yield row * layout.MOST_SPLITS + split
