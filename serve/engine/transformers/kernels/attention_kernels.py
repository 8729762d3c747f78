"""The compiled loop of attention over the KV cache.

``attend`` is softmax(q @ k.T) @ v for one token of each row's sequence, over the cache's blocks,
which ``store_kernels.py`` fills. Rows are float32, the cache float32 or bfloat16. Each kernel works
on the share of its thread.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import carray

from serve.engine.transformers.kernels.arguments import AttendArguments, slots
from serve.engine.transformers.kernels.attention_vectors import scores, soften, weighted
from serve.engine.transformers.kernels.compiling import exact, kernel_of
from serve.engine.transformers.kernels.intrinsics import count_up, float_of, pointer
from serve.engine.transformers.kernels.layer_kernels import exponential
from serve.engine.transformers.kernels.layout import (
    BLOCK_SIZE,
    MOST_SPLITS,
    STATE,
    FloatKind,
    split_size,
)
from serve.engine.transformers.kernels.native import Kernel
from serve.engine.transformers.kernels.threads import num_threads, thread_id
from serve.engine.transformers.kernels.word_vectors import transposed

_F32, _I32 = np.float32, np.int32
_ATTEND = slots(AttendArguments)
_MOST_HEADS = 8
"""Whose sums are in registers together."""
_ITEMS_EACH = 4
"""Splits for each thread that are enough to keep all at work to the end."""


_split_size = exact(split_size)


@functools.cache
def _joining(kind: FloatKind, lanes: int) -> Any:
    """Write one head's attention ``out`` of its sums over each split of the context.

    ``sums`` is float32 ``[splits, entry]``, of which each row begins with its ``STATE``.
    """
    is_bfloat16 = kind == "bfloat16"

    @exact
    def join(sums, out):  # type: ignore[no-untyped-def]
        largest = sums[0, 0]
        for split in range(1, len(sums)):
            largest = max(largest, sums[split, 0])
        total = _F32(0)
        joined = sums[0, STATE:]
        for split in range(len(sums)):
            factor, own = exponential(sums[split, 0] - largest), sums[split, STATE:]
            total += factor * sums[split, 1]
            for place in range(len(joined)):
                joined[place] = factor * own[place] + (joined[place] if split else _F32(0))
        for index in range(len(out)):
            place = index
            if is_bfloat16:  # even numbers, then the odd ones between them
                word = index // 2
                place = 2 * (word - word % lanes) + index % 2 * lanes + word % lanes
            out[index] = joined[place] / total

    return join


@functools.cache
def _of_block(kind: FloatKind, lanes: int, group: int) -> Any:
    """Attend to one block of one key-value head, for the heads of a group.

    The heads go in as few passes of equal size as registers allow.
    """
    num_passes = -(-group // _MOST_HEADS)
    most = -(-group // num_passes)
    last = most * (num_passes - 1)  # the first head of the last pass
    transpose, soften_scores = transposed(lanes), soften(lanes)
    some_scores, last_scores = (scores(kind, lanes, num) for num in (most, group - last))
    add_some, add_last = (weighted(kind, lanes, num) for num in (most, group - last))
    per_word = 2 if kind == "bfloat16" else 1

    @exact
    def attend_block(  # type: ignore[no-untyped-def]
        keys,
        values,
        stride,
        wanted,
        each,
        low,
        high,
        query,
        dim,
        scale,
        turned,
        weights,
        sums,
        entry,
    ):
        num_words = dim // per_word
        for start in range(low // lanes * lanes, high, lanes):
            rows, next_rows = pointer(keys + start * stride), pointer(keys + wanted + start * each)
            transpose(rows, stride, num_words, next_rows, each, pointer(turned))
            place = weights + 4 * start
            for head in range(0, last, most):
                some, own = pointer(query + 4 * head * dim), place + 4 * head * BLOCK_SIZE
                some_scores(pointer(turned), num_words, some, dim, scale, pointer(own))
            some, own = pointer(query + 4 * last * dim), place + 4 * last * BLOCK_SIZE
            last_scores(pointer(turned), num_words, some, dim, scale, pointer(own))
        for head in range(group):
            own = weights + 4 * head * BLOCK_SIZE
            soften_scores(pointer(own), low, high, pointer(sums + 4 * head * entry))
        rows, next_rows = pointer(values + low * stride), pointer(values + wanted + low * each)
        num, place = high - low, weights + 4 * low
        for head in range(0, last, most):
            own, some = pointer(place + 4 * head * BLOCK_SIZE), pointer(sums + 4 * head * entry)
            add_some(rows, stride, num, num_words, next_rows, each, own, some, entry)
        own, some = pointer(place + 4 * last * BLOCK_SIZE), pointer(sums + 4 * last * entry)
        add_last(rows, stride, num, num_words, next_rows, each, own, some, entry)

    return attend_block


@functools.cache
def _of_split(kind: FloatKind, lanes: int, group: int) -> Any:
    """Attend to a split of one row's context, for some key-value heads, into ``partials``.

    ``blocks`` are the ids of the row's; those from ``begin`` to ``stop`` are the split's. In each,
    the tokens from ``first`` on and before ``length`` are seen.
    """
    attend_block = _of_block(kind, lanes, group)
    size = 2 if kind == "bfloat16" else 4

    @exact
    def attend_split(  # type: ignore[no-untyped-def]
        arguments, thread, row, split, blocks, begin, stop, first, length, first_kv, last_kv
    ):
        num_heads, num_kv = arguments[_ATTEND.num_heads], arguments[_ATTEND.num_kv_heads]
        dim, entry = arguments[_ATTEND.head_dim], arguments[_ATTEND.entry]
        scale = float_of(_I32(arguments[_ATTEND.scale]))
        weights = arguments[_ATTEND.scratch] + 4 * thread * arguments[_ATTEND.scratch_size]
        turned = weights + 4 * group * BLOCK_SIZE
        queries = arguments[_ATTEND.queries] + 4 * dim * row * arguments[_ATTEND.width]
        heads_at = (row * MOST_SPLITS + split) * num_heads
        sums_at = arguments[_ATTEND.partials] + 4 * entry * heads_at
        sums = carray(pointer(sums_at), (num_heads, entry), dtype=np.float32)
        sums[first_kv * group : last_kv * group] = _F32(0)
        sums[first_kv * group : last_kv * group, 0] = _F32(-np.inf)
        # Memory is asked for the next block: by all heads for a share each, in memory's own order,
        # which is fastest, or by one for its tokens.
        stride, each = size * num_kv * dim, size * dim
        skipped = (BLOCK_SIZE - 1) * each
        if last_kv - first_kv < num_kv:
            each, skipped = stride, 0
        for index in range(begin, stop):
            low = max(first - index * BLOCK_SIZE, 0)
            high = min(length - index * BLOCK_SIZE, BLOCK_SIZE)
            ahead = (blocks[min(index + 1, len(blocks) - 1)] - blocks[index]) * BLOCK_SIZE * stride
            for kv in range(first_kv, last_kv):
                place = blocks[index] * BLOCK_SIZE * stride + kv * size * dim
                attend_block(
                    arguments[_ATTEND.keys] + place,
                    arguments[_ATTEND.values] + place,
                    stride,
                    ahead + kv * skipped,
                    each,
                    low,
                    high,
                    queries + 4 * dim * group * kv,
                    dim,
                    scale,
                    turned,
                    weights,
                    sums_at + 4 * entry * group * kv,
                    entry,
                )

    return attend_split


@functools.cache
def attend(*, is_bfloat16: bool, group: int, lanes: int) -> Kernel:
    """Attention of one token for each row, of ``AttendArguments``.

    Threads take splits of rows' contexts as they get to them, for all key-value heads, which lie
    side by side, or for one where splits are few; who is the last at a row joins its splits.

    Args:
        is_bfloat16: the cache is; else it is float32.
        group: query heads that share a key-value head.
        lanes: float32 in a vector: 16 or 8.
    """
    kind: FloatKind = "bfloat16" if is_bfloat16 else "float32"
    attend_split, join = _of_split(kind, lanes, group), _joining(kind, lanes)

    @kernel_of(AttendArguments)
    def kernel(address):  # type: ignore[no-untyped-def]
        arguments = carray(address, len(_ATTEND), dtype=np.int64)
        num_rows, num_heads = arguments[_ATTEND.num_rows], arguments[_ATTEND.num_heads]
        num_kv, window = arguments[_ATTEND.num_kv_heads], arguments[_ATTEND.window]
        starts = carray(pointer(arguments[_ATTEND.starts]), num_rows, dtype=np.int64)
        lengths = carray(pointer(arguments[_ATTEND.lengths]), num_rows, dtype=np.int64)
        waiting = carray(pointer(arguments[_ATTEND.waiting]), (num_rows, num_kv), dtype=np.int64)
        shape = (num_rows, num_heads, arguments[_ATTEND.head_dim])
        out = carray(pointer(arguments[_ATTEND.out]), shape, dtype=np.float32)
        entries = (num_rows, MOST_SPLITS, num_heads, arguments[_ATTEND.entry])
        partials = carray(pointer(arguments[_ATTEND.partials]), entries, dtype=np.float32)
        num_items = carray(pointer(arguments[_ATTEND.items]), 1, dtype=np.int64)[0]
        items = carray(pointer(arguments[_ATTEND.items]), 1 + num_items, dtype=np.int64)
        thread = np.int64(thread_id())
        kv_together = num_kv if num_items >= _ITEMS_EACH * num_threads() else 1
        kv_parts = num_kv // kv_together
        while True:
            taken = count_up(arguments[_ATTEND.counter])
            if taken >= num_items * kv_parts:
                break
            item, first_kv = items[1 + taken // kv_parts], taken % kv_parts * kv_together
            row, split = item // MOST_SPLITS, item % MOST_SPLITS
            length = lengths[row]
            first = max(0, length - window) if window else 0
            first_block, stop_block = first // BLOCK_SIZE, -(-length // BLOCK_SIZE)
            size = _split_size(stop_block - first_block)
            splits = -(-(stop_block - first_block) // size)
            if split >= splits:  # a window hides it
                continue
            blocks_at = pointer(arguments[_ATTEND.blocks] + 8 * starts[row])
            blocks = carray(blocks_at, stop_block, dtype=np.int64)
            begin, last_kv = first_block + split * size, first_kv + kv_together
            stop = min(begin + size, stop_block)
            attend_split(
                arguments, thread, row, split, blocks, begin, stop, first, length, first_kv, last_kv
            )
            waiting_at = arguments[_ATTEND.waiting] + 8 * (row * num_kv + first_kv)
            if count_up(waiting_at) < splits - 1:
                continue
            waiting[row, first_kv] = 0
            for head in range(first_kv * group, last_kv * group):
                join(partials[row, :splits, head], out[row, head])

    return kernel
