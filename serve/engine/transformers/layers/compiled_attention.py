"""Attention of all rows of a step by compiled loops, which read the cache's blocks in place.

torch's way gathers the blocks, multiplies, and writes every score to memory several times: of a
chunk over a long past most of the time went there (docs/lab-notes.md). The loops keep a block's
scores in a core's first cache, and a row's result depends on its own context alone: not on the
chunk that it is computed in, nor on whether it is a prompt's or a decode's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from serve.engine.transformers.kernels import native
from serve.engine.transformers.kernels.attend_rows import AttendMemory, AttendRows
from serve.engine.transformers.sequence import Segment
from serve.engine.transformers.step_plan import StepPlan

_MOST_ROWS = 64
"""In one call: a split of their context stays in a core's second cache for all of them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batches:
    """The rows of a step in calls of few, for layers of one shape.

    Attributes:
        rows: with the first of each call and the one after its last.
        queries: float32 ``[_MOST_ROWS, H, D]``, what a call reads.
        out: the same, what it writes.
        counter: of an int64.
    """

    rows: list[tuple[int, int, AttendRows]]
    queries: torch.Tensor
    out: torch.Tensor
    counter: torch.Tensor


def takes(query: torch.Tensor, value_dim: int, softcap: float | None) -> bool:
    """Whether the loops know such a layer. query: ``[T, H, D]``."""
    return (
        softcap is None
        and query.device.type == "cpu"
        and query.dtype in {torch.float32, torch.bfloat16}
        and query.shape[-1] == value_dim
        and value_dim % 2 == 0
        and native.is_available()
    )


def attend(
    plan: StepPlan, layer: int, query: torch.Tensor, *, scale: float, window: int | None
) -> torch.Tensor:
    """``[P, H, D]`` of queries ``[P, H, D]`` over what is stored, their own keys included.

    Args:
        plan: the step, whose rows from T on are of no sequence.
        layer: its index in the cache.
        query: positions applied.
        scale: of the scores.
        window: most tokens that a row sees, itself included; None sees all.
    """
    keys, values = plan.cache.keys[layer], plan.cache.values[layer]
    shape = (query.shape[1], keys.shape[2], query.shape[2])
    batches = plan.batches.get(shape)
    if batches is None:
        batches = plan.batches[shape] = _batches(plan, *shape)
    output = torch.empty_like(query, memory_format=torch.contiguous_format)
    for first, stop, rows in batches.rows:
        num_rows = stop - first
        batches.queries[:num_rows] = query[first:stop]
        batches.counter.zero_()
        kernel, arguments = rows.call(
            queries=batches.queries,
            keys=keys,
            values=values,
            out=batches.out,
            scale=scale,
            window=window,
            num_rows=num_rows,
            counter=batches.counter.data_ptr(),
        )
        native.run(kernel, arguments)
        output[first:stop] = batches.out[:num_rows]
    output[len(plan.slots) :] = 0
    return output


def _batches(plan: StepPlan, num_heads: int, num_kv_heads: int, dim: int) -> Batches:
    memory = AttendMemory(
        num_rows=_MOST_ROWS, num_heads=num_heads, num_kv_heads=num_kv_heads, dim=dim
    )
    calls, first = [], 0
    for parts in _few(plan.segments):
        rows = AttendRows(memory, num_blocks=plan.cache.num_blocks)
        rows.fill([(positions, segment.sequence.block_ids) for segment, positions in parts])
        stop = first + sum(len(positions) for _, positions in parts)
        calls.append((first, stop, rows))
        first = stop
    queries, out = torch.empty(2, _MOST_ROWS, num_heads, dim)
    counter = torch.empty(1, dtype=torch.int64)
    return Batches(rows=calls, queries=queries, out=out, counter=counter)


def _few(segments: list[Segment]) -> Iterator[list[tuple[Segment, range]]]:
    """Positions of consecutive segments, ``_MOST_ROWS`` at a time."""
    parts: list[tuple[Segment, range]] = []
    room = _MOST_ROWS
    for segment in segments:
        start = segment.start
        while start < segment.end:
            stop = min(segment.end, start + room)
            parts.append((segment, range(start, stop)))
            room -= stop - start
            start = stop
            if not room:
                yield parts
                parts, room = [], _MOST_ROWS
    if parts:
        yield parts
