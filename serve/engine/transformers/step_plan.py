"""The tensors of one forward: made once per step, read by every layer.

A step packs all its tokens into one row::

    | decode, short contexts | decode, longer | prefill chunk | prefill chunk |
    |  one token each, attended as a batch    |  attended one by one          |

Decodes are grouped by context length (powers of two, in blocks), so that one long sequence does
not make the attention of all others long.

Where prompts are in it, rows of no sequence fill it up to ``LEAST_ROWS``: fewer would be multiplied
by other loops, with another rounding (layers/bfloat16_linear.py), and what a prompt's last tokens
come to would hang on how many of those before them were cached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from serve.engine.transformers.kv_cache import BLOCK_SIZE, KVCache
from serve.engine.transformers.prompt_logprobs import is_wanted_of, rows_of
from serve.engine.transformers.sequence import Segment

# Contexts up to this many blocks share one group: their padding costs less than another call.
_SMALLEST_GROUP_BLOCKS = 8

LEAST_ROWS = 16
"""Rows of a step with parts of prompts, on a CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """The stored tokens that some consecutive rows of the step attend to.

    Attributes:
        blocks: ``[B * blocks per sequence]`` ids to gather.
        mask: bool, True is visible; ``[B, 1, 1, L]`` for decodes, ``[t, L]`` for a chunk; None
            when a chunk starts its sequence and plain causal attention over itself is enough.
        past: of a chunk, the column before its first row's own; 0 for decodes.
    """

    blocks: torch.Tensor
    mask: torch.Tensor | None
    past: int = 0


@dataclass(slots=True, eq=False)
class Span:
    """Rows ``start .. stop`` of the step: decodes of one group, or one prefill chunk."""

    start: int
    stop: int
    segments: list[Segment]
    _reaches: dict[int | None, Reach] = field(default_factory=dict)

    @property
    def is_decode(self) -> bool:
        return _is_single(self.segments[0])

    def reach(self, sliding_window: int | None, device: torch.device) -> Reach:
        """The tokens that these rows see under this window. Made when a layer first asks."""
        reach = self._reaches.get(sliding_window)
        if reach is None:
            make = _decode_reach if self.is_decode else _chunk_reach
            reach = self._reaches[sliding_window] = make(self.segments, sliding_window, device)
        return reach


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class StepPlan:
    """One step. ``T`` tokens of which ``B`` rows are sampled; ``P`` rows with those that fill it.

    Attributes:
        cache: where keys and values are stored.
        segments: in packed order.
        spans: consecutive, covering the first T rows.
        input_ids: ``[1, P]``.
        position_ids: ``[1, P]``.
        slots: ``[T]``, where each token's key and value go.
        fresh_blocks: ``[N]``, blocks whose first token is in this step; None if there are none.
        last_rows: ``[B]``, rows whose logits are wanted: of a segment those that say how likely its
            prompt's tokens were, then the one that is sampled, then those of its guesses. Of a
            prompt whose logprobs are wanted the last one again, up to ``LEAST_ROWS``.
        batches: by the shape of a layer's heads, what its attention has made of this step.
    """

    cache: KVCache
    segments: list[Segment]
    spans: list[Span]
    input_ids: torch.Tensor
    position_ids: torch.Tensor
    slots: torch.Tensor
    fresh_blocks: torch.Tensor | None
    last_rows: torch.Tensor
    batches: dict[tuple[int, int, int], Any] = field(default_factory=dict)

    @property
    def sampled(self) -> list[Segment]:
        """The segments whose next token this step decides, in the order of their rows."""
        return [segment for segment in self.segments if segment.samples]


def make_plan(segments: Sequence[Segment], cache: KVCache, device: torch.device) -> StepPlan:
    """The plan of one step. ``segments`` is not empty."""
    ordered = sorted(segments, key=_group)
    input_ids: list[int] = []
    positions: list[int] = []
    slots: list[int] = []
    fresh_blocks: list[int] = []
    last_rows: list[int] = []
    for segment in ordered:
        blocks = segment.sequence.block_ids
        input_ids += segment.token_ids
        positions += range(segment.start, segment.end)
        slots += [
            blocks[position // BLOCK_SIZE] * BLOCK_SIZE + position % BLOCK_SIZE
            for position in range(segment.start, segment.end)
        ]
        first_fresh = -(-segment.start // BLOCK_SIZE)
        fresh_blocks += blocks[first_fresh : -(-segment.end // BLOCK_SIZE)]
        first_row = len(input_ids) - segment.num_tokens
        last_rows += range(first_row, first_row + rows_of(segment))
        if segment.samples:
            last_rows += range(len(input_ids) - 1 - len(segment.draft), len(input_ids))
    num_tokens = len(input_ids)
    if device.type == "cpu" and not all(segment.is_decode for segment in ordered):
        filling = [0] * (LEAST_ROWS - num_tokens)
        input_ids += filling
        positions += filling
        if any(map(is_wanted_of, ordered)):  # the head, too, has other loops for a few rows
            last_rows += last_rows[-1:] * (LEAST_ROWS - len(last_rows))
    packed = torch.tensor([input_ids, positions], device=device)
    return StepPlan(
        cache=cache,
        segments=ordered,
        spans=_spans(ordered),
        input_ids=packed[0:1],
        position_ids=packed[1:2],
        slots=torch.tensor(slots, device=device),
        fresh_blocks=torch.tensor(fresh_blocks, device=device) if fresh_blocks else None,
        last_rows=torch.tensor(last_rows, dtype=torch.int64, device=device),
    )


def _spans(segments: Sequence[Segment]) -> list[Span]:
    """Rows that are attended together, of segments in packed order."""
    spans: list[Span] = []
    row, previous = 0, None
    for segment in segments:
        group = _group(segment)
        if _is_single(segment) and group == previous:
            spans[-1].segments.append(segment)
            spans[-1].stop += 1
        else:
            spans.append(Span(row, row + segment.num_tokens, [segment]))
        row, previous = row + segment.num_tokens, group
    return spans


def _is_single(segment: Segment) -> bool:
    """Whether it is one token that was generated; the last of a prompt attends as the others do."""
    return segment.is_decode and segment.num_tokens == 1


def _group(segment: Segment) -> tuple[bool, int]:
    """Sort key: decodes before chunks, decodes by the power of two of their blocks."""
    if not _is_single(segment):
        return True, 0
    num_blocks = max(-(-segment.end // BLOCK_SIZE), _SMALLEST_GROUP_BLOCKS)
    return False, (num_blocks - 1).bit_length()


def _first_visible(position: int, sliding_window: int | None) -> int:
    return 0 if sliding_window is None else max(0, position + 1 - sliding_window)


def _decode_reach(
    segments: list[Segment], sliding_window: int | None, device: torch.device
) -> Reach:
    firsts = [_first_visible(segment.start, sliding_window) for segment in segments]
    tables = [
        segment.sequence.block_ids[first // BLOCK_SIZE : -(-segment.end // BLOCK_SIZE)]
        for segment, first in zip(segments, firsts, strict=True)
    ]
    width = max(len(table) for table in tables)
    # Padding repeats a block of the sequence's own: no sequence ever reads another's memory.
    blocks = [block for table in tables for block in table + table[-1:] * (width - len(table))]
    low = [first % BLOCK_SIZE for first in firsts]
    high = [
        s.end - first // BLOCK_SIZE * BLOCK_SIZE for s, first in zip(segments, firsts, strict=True)
    ]
    bounds = torch.tensor([low, high], device=device)[:, :, None, None, None]  # [2, B, 1, 1, 1]
    columns = torch.arange(width * BLOCK_SIZE, device=device)  # [L]
    mask = columns < bounds[1]  # [B, 1, 1, L]
    if sliding_window is not None:
        mask &= columns >= bounds[0]
    return Reach(blocks=torch.tensor(blocks, device=device), mask=mask)


def _chunk_reach(
    segments: list[Segment], sliding_window: int | None, device: torch.device
) -> Reach:
    (segment,) = segments
    first = _first_visible(segment.start, sliding_window)
    table = segment.sequence.block_ids[first // BLOCK_SIZE : -(-segment.end // BLOCK_SIZE)]
    blocks = torch.tensor(table, device=device)
    if segment.start == 0 and (sliding_window is None or segment.end <= sliding_window):
        return Reach(blocks=blocks, mask=None)
    offset = first // BLOCK_SIZE * BLOCK_SIZE
    columns = torch.arange(offset, offset + len(table) * BLOCK_SIZE, device=device)  # [L]
    rows = torch.arange(segment.start, segment.end, device=device)[:, None]  # [t, 1]
    mask = columns <= rows
    if sliding_window is not None:
        mask &= columns > rows - sliding_window
    return Reach(blocks=blocks, mask=mask, past=segment.start - offset)
