"""Attention of some query heads over one block of stored tokens, in vector registers.

Query heads that share a key-value head (grouped-query attention, Ainslie et al. 2023) go through
its block together, so that each stored number is read and widened once::

    transposed   the keys of some tokens, so that lanes are tokens
    scores       q @ k.T: one vector for the tokens of a tile, for each head
    soften       scores to weights, with a running maximum and sum (Milakov & Gimelshein 2018)
    weighted     weights @ v: lanes are numbers of a value

Vectors have as many lanes as the processor's registers; ``word_vectors.py`` reads them, and has
``transposed``.

A head's sums run in one order, whatever other heads, rows and blocks there are.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from serve.engine.transformers.kernels.layout import STATE, FloatKind
from serve.engine.transformers.kernels.vectors import apart, reduced, splat, spread
from serve.engine.transformers.kernels.word_vectors import (
    WORD,
    ask_for,
    call_floats,
    chunks,
    exponential_of,
    long,
    masked_load,
    place_of,
    widened,
)
from serve.engine.transformers.kv_cache import BLOCK_SIZE

_I32, _F32 = ir.IntType(32), ir.FloatType()
_POINTER, _NUMBER = types.voidptr, types.int64


@functools.cache
def scores(kind: FloatKind, lanes: int, num_heads: int) -> Any:
    """Multiply some heads' queries with ``lanes`` keys, ``(keys, num_words, q, dim, scale, out)``.

    keys
        as ``transposed`` writes them.
    q
        float32 ``[num_heads, dim]``.
    scale
        of the results, a float32.
    out
        float32 ``[num_heads, BLOCK_SIZE]``, of which the first ``lanes`` of each row are written.
    """
    num_sums = 2 if num_heads <= 4 else 1  # of few heads each has two, so that none waits

    @intrinsic
    def multiply(
        _context: Any, keys: Any, num_words: Any, q: Any, dim: Any, scale: Any, out: Any
    ) -> Any:
        def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            keys, num_words, q, dim, scale, out = arguments
            words, floats = ir.VectorType(_I32, lanes), ir.VectorType(_F32, lanes)
            queries = apart(builder, q, builder.mul(dim, long(WORD)), num_heads)
            sums = [
                [cgutils.alloca_once_value(builder, splat(floats, 0.0)) for _ in range(num_sums)]
                for _ in queries
            ]
            with cgutils.for_range(builder, num_words) as word:
                at = builder.mul(word.index, long(lanes))
                loaded = builder.load(place_of(builder, keys, at, words), align=4)
                parts = widened(builder, kind, loaded)
                for part, numbers in enumerate(parts):
                    index = builder.add(builder.mul(word.index, long(len(parts))), long(part))
                    for query, own in zip(queries, sums, strict=True):
                        number = builder.load(place_of(builder, query, index, _F32), align=4)
                        total = own[part % num_sums]
                        _add_product(builder, total, numbers, spread(builder, number, lanes))
            factor = spread(builder, scale, lanes)
            for head, own in enumerate(sums):
                total = builder.load(own[0])
                for other in own[1:]:
                    total = builder.fadd(total, builder.load(other))
                place = place_of(builder, out, long(head * BLOCK_SIZE), floats)
                builder.store(builder.fmul(total, factor), place, align=4)
            return _context.get_dummy_value()

        return types.void(_POINTER, _NUMBER, _POINTER, _NUMBER, types.float32, _POINTER), emit

    return multiply


@functools.cache
def soften(lanes: int) -> Any:
    """Make weights of a block's scores, in place, ``(scores, low, high, state)``.

    scores
        float32 ``[BLOCK_SIZE]``; those before ``low`` and from ``high`` on become 0, whatever they
        were.
    low, high
        of the block's tokens in sight: at least one.
    state
        float32 ``[STATE]``: the largest score, the sum of weights, and the factor by which all that
        was added up before is to be multiplied; at the start ``-inf, 0``.
    """

    @intrinsic
    def write(_context: Any, scores: Any, low: Any, high: Any, state: Any) -> Any:
        def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            scores, low, high, state = arguments
            floats = ir.VectorType(_F32, lanes)
            places = [
                place_of(builder, scores, long(start), floats)
                for start in range(0, BLOCK_SIZE, lanes)
            ]
            seen = list(_in_sight(builder, lanes, low, high))
            hidden = splat(floats, float("-inf"))
            parts = [
                builder.select(mask, builder.load(place, align=4), hidden)
                for mask, place in zip(seen, places, strict=True)
            ]
            largest_at, sum_at, factor_at = (
                place_of(builder, state, long(at), _F32) for at in range(3)
            )
            before = builder.load(largest_at)
            largest = _larger(builder, before, _across(builder, parts, _larger))
            factor = exponential_of(builder, builder.fsub(before, largest))
            base = spread(builder, largest, lanes)
            weights = []
            for mask, place, part in zip(seen, places, parts, strict=True):
                weight = exponential_of(builder, builder.fsub(part, base))
                weights.append(builder.select(mask, weight, splat(floats, 0.0)))
                builder.store(weights[-1], place, align=4)
            total = _across(builder, weights, lambda builder, a, b: builder.fadd(a, b))
            grown = builder.fadd(builder.fmul(builder.load(sum_at), factor), total)
            for value, place in ((largest, largest_at), (grown, sum_at), (factor, factor_at)):
                builder.store(value, place)
            return _context.get_dummy_value()

        return types.void(_POINTER, _NUMBER, _NUMBER, _POINTER), emit

    return write


@functools.cache
def weighted(kind: FloatKind, lanes: int, num_heads: int) -> Any:
    """Add a block's values by weight.

    Arguments of what is returned, ``(values, stride, num, num_words, wanted, wanted_stride,
    weights, state, entry)``:

    values, stride
        ``num`` rows of ``num_words`` words, these many bytes apart.
    wanted, wanted_stride
        as for ``transposed``.
    weights
        float32 ``[num_heads, BLOCK_SIZE]``, of which the first ``num`` of each row are read.
    state, entry
        float32 ``[num_heads, entry]``: each head's ``STATE``, then its sums in whole vectors,
        of bfloat16 those of ``lanes`` even numbers, then those of the odd ones between them. They
        are multiplied by the state's factor first.
    """
    rows = (_POINTER, _NUMBER)
    num_parts = 2 if kind == "bfloat16" else 1

    @intrinsic
    def add(  # type: ignore[no-untyped-def]
        _context, values, stride, num, num_words, wanted, wanted_stride, weights, state, entry
    ):
        def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            values, stride, num, num_words, wanted, wanted_stride, weights, state, entry = arguments
            floats = ir.VectorType(_F32, lanes)
            states = apart(builder, state, builder.mul(entry, long(WORD)), num_heads)
            with chunks(builder, lanes, num_words) as (index, mask):
                first = builder.add(builder.mul(index, long(num_parts)), long(STATE))
                places = [
                    [
                        place_of(builder, own, builder.add(first, long(part * lanes)), floats)
                        for part in range(num_parts)
                    ]
                    for own in states
                ]
                sums = [
                    _scaled(builder, own, parts) for own, parts in zip(states, places, strict=True)
                ]
                with cgutils.for_range(builder, num) as token:
                    row = builder.gep(values, [builder.mul(token.index, stride)])
                    ask_for(builder, wanted, token.index, wanted_stride, index)
                    parts = widened(builder, kind, masked_load(builder, row, index, mask, lanes))
                    for head, totals in enumerate(sums):
                        at = builder.add(token.index, long(head * BLOCK_SIZE))
                        weight = builder.load(place_of(builder, weights, at, _F32), align=4)
                        for total, numbers in zip(totals, parts, strict=True):
                            _add_product(builder, total, numbers, spread(builder, weight, lanes))
                for totals, own_places in zip(sums, places, strict=True):
                    for total, place in zip(totals, own_places, strict=True):
                        builder.store(builder.load(total), place, align=4)
            return _context.get_dummy_value()

        return types.void(*rows, _NUMBER, _NUMBER, *rows, _POINTER, _POINTER, _NUMBER), emit

    return add


def _scaled(builder: Any, state: Any, places: Sequence[Any]) -> list[Any]:
    """A head's sums, multiplied by its state's factor, in registers."""
    olds = [builder.load(place, align=4) for place in places]
    number = builder.load(place_of(builder, state, long(2), _F32))
    factor = spread(builder, number, olds[0].type.count)
    sums = [cgutils.alloca_once(builder, old.type) for old in olds]
    for total, old in zip(sums, olds, strict=True):
        builder.store(builder.fmul(old, factor), total)
    return sums


def _add_product(builder: Any, total: Any, left: Any, right: Any) -> None:
    builder.store(call_floats(builder, "fmuladd", left, right, builder.load(total)), total)


def _in_sight(builder: Any, lanes: int, low: Any, high: Any) -> Iterator[Any]:
    """Masks for the vectors of a block: its tokens from ``low`` on and before ``high``."""
    first, num = (
        spread(builder, builder.trunc(value, _I32), lanes)
        for value in (low, builder.sub(high, low))
    )
    for start in range(0, BLOCK_SIZE, lanes):
        tokens = ir.Constant(ir.VectorType(_I32, lanes), list(range(start, start + lanes)))
        yield builder.icmp_unsigned("<", builder.sub(tokens, first), num)


def _larger(builder: Any, left: Any, right: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", left, right), left, right)


def _across(builder: Any, vectors: Sequence[Any], join: Any) -> Any:
    """One number of all lanes of all vectors."""
    joined = functools.reduce(functools.partial(join, builder), vectors)
    [(_, one)] = reduced(builder, [joined], functools.partial(join, builder))
    return builder.extract_element(one, ir.Constant(_I32, 0))
