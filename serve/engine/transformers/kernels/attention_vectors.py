"""Attention of some query heads over one block of stored tokens, in vector registers.

Query heads that share a key-value head (grouped-query attention, Ainslie et al. 2023) go through
its block together, so that each stored number is read and widened once::

    transposed   the keys of some tokens, so that lanes are tokens
    scores       q @ k.T: one vector for the tokens of a tile, for each head
    soften       scores to weights, with a running maximum and sum (Milakov & Gimelshein 2018)
    weighted     weights @ v: lanes are numbers of a value

Numbers are read as 32-bit words: one float32, or two bfloat16, the even one in the lower half. A
word of a bfloat16 pair becomes floats by a shift and by a mask, so that lanes hold even numbers in
one vector and odd ones in the next. Vectors have as many lanes as the processor's registers.

A head's sums run in one order, whatever other heads, rows and blocks there are.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from serve.engine.transformers.kernels.layout import STATE, FloatKind
from serve.engine.transformers.kernels.vectors import (
    address_of,
    apart,
    fetch,
    reduced,
    splat,
    spread,
)
from serve.engine.transformers.kv_cache import BLOCK_SIZE

_I1, _I32, _I64, _F32 = ir.IntType(1), ir.IntType(32), ir.IntType(64), ir.FloatType()
_POINTER, _NUMBER = types.voidptr, types.int64
_WORD = 4
_LOWEST = -87.0
"""Of what the exponential is taken: a weight that far below the largest changes no sum."""
_LOG2_E, _LN2_HIGH, _LN2_LOW = 1.44269504, 0.693359375, -2.12194440e-4
_SERIES = tuple(1 / value for value in (720, 120, 24, 6, 2, 1, 1))


@functools.cache
def transposed(lanes: int) -> Any:
    """Write the words of ``lanes`` rows in columns.

    Arguments of what is returned, ``(rows, stride, num_words, wanted, wanted_stride, out)``,
    addresses but for the numbers:

    rows, stride
        ``lanes`` rows of ``num_words`` words, these many bytes apart.
    wanted, wanted_stride
        rows of as many words that are read later: memory is asked for them now.
    out
        words ``[num_words, lanes]``, with room for whole vectors of words.
    """

    @intrinsic
    def write(
        _context: Any,
        rows: Any,
        stride: Any,
        num_words: Any,
        wanted: Any,
        wanted_stride: Any,
        out: Any,
    ) -> Any:
        def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            rows, stride, num_words, wanted, wanted_stride, out = arguments
            places = apart(builder, rows, stride, lanes)
            with _chunks(builder, lanes, num_words) as (index, mask):
                vectors = [_masked_load(builder, place, index, mask, lanes) for place in places]
                for row in range(lanes):
                    _ask_for(builder, wanted, _long(row), wanted_stride, index)
                for row, vector in enumerate(_turned(builder, vectors)):
                    at = builder.mul(builder.add(index, _long(row)), _long(lanes))
                    builder.store(vector, _place(builder, out, at, vector.type), align=4)
            return _context.get_dummy_value()

        return types.void(_POINTER, _NUMBER, _NUMBER, _POINTER, _NUMBER, _POINTER), emit

    return write


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
            queries = apart(builder, q, builder.mul(dim, _long(_WORD)), num_heads)
            sums = [
                [cgutils.alloca_once_value(builder, splat(floats, 0.0)) for _ in range(num_sums)]
                for _ in queries
            ]
            with cgutils.for_range(builder, num_words) as word:
                at = builder.mul(word.index, _long(lanes))
                loaded = builder.load(_place(builder, keys, at, words), align=4)
                parts = _widened(builder, kind, loaded)
                for part, numbers in enumerate(parts):
                    index = builder.add(builder.mul(word.index, _long(len(parts))), _long(part))
                    for query, own in zip(queries, sums, strict=True):
                        number = builder.load(_place(builder, query, index, _F32), align=4)
                        total = own[part % num_sums]
                        _add_product(builder, total, numbers, spread(builder, number, lanes))
            factor = spread(builder, scale, lanes)
            for head, own in enumerate(sums):
                total = builder.load(own[0])
                for other in own[1:]:
                    total = builder.fadd(total, builder.load(other))
                place = _place(builder, out, _long(head * BLOCK_SIZE), floats)
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
                _place(builder, scores, _long(start), floats)
                for start in range(0, BLOCK_SIZE, lanes)
            ]
            seen = list(_in_sight(builder, lanes, low, high))
            hidden = splat(floats, float("-inf"))
            parts = [
                builder.select(mask, builder.load(place, align=4), hidden)
                for mask, place in zip(seen, places, strict=True)
            ]
            largest_at, sum_at, factor_at = (
                _place(builder, state, _long(at), _F32) for at in range(3)
            )
            before = builder.load(largest_at)
            largest = _larger(builder, before, _across(builder, parts, _larger))
            factor = _exponential(builder, builder.fsub(before, largest))
            base = spread(builder, largest, lanes)
            weights = []
            for mask, place, part in zip(seen, places, parts, strict=True):
                weight = _exponential(builder, builder.fsub(part, base))
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

    @intrinsic
    def add(
        _context: Any,
        values: Any,
        stride: Any,
        num: Any,
        num_words: Any,
        wanted: Any,
        wanted_stride: Any,
        weights: Any,
        state: Any,
        entry: Any,
    ) -> Any:
        def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            values, stride, num, num_words, wanted, wanted_stride, weights, state, entry = arguments
            floats = ir.VectorType(_F32, lanes)
            states = apart(builder, state, builder.mul(entry, _long(_WORD)), num_heads)
            num_parts = 2 if kind == "bfloat16" else 1
            with _chunks(builder, lanes, num_words) as (index, mask):
                first = builder.add(builder.mul(index, _long(num_parts)), _long(STATE))
                places = [
                    [
                        _place(builder, own, builder.add(first, _long(part * lanes)), floats)
                        for part in range(num_parts)
                    ]
                    for own in states
                ]
                sums = []
                for own, parts in zip(states, places, strict=True):
                    number = builder.load(_place(builder, own, _long(2), _F32))
                    factor = spread(builder, number, lanes)
                    olds = [builder.load(place, align=4) for place in parts]
                    sums.append(
                        [cgutils.alloca_once_value(builder, splat(floats, 0.0)) for _ in olds]
                    )
                    for total, old in zip(sums[-1], olds, strict=True):
                        builder.store(builder.fmul(old, factor), total)
                with cgutils.for_range(builder, num) as token:
                    row = builder.gep(values, [builder.mul(token.index, stride)])
                    loaded = _masked_load(builder, row, index, mask, lanes)
                    _ask_for(builder, wanted, token.index, wanted_stride, index)
                    widened = _widened(builder, kind, loaded)
                    for head, totals in enumerate(sums):
                        at = builder.add(token.index, _long(head * BLOCK_SIZE))
                        weight = builder.load(_place(builder, weights, at, _F32), align=4)
                        for total, numbers in zip(totals, widened, strict=True):
                            _add_product(builder, total, numbers, spread(builder, weight, lanes))
                for totals, own_places in zip(sums, places, strict=True):
                    for total, place in zip(totals, own_places, strict=True):
                        builder.store(builder.load(total), place, align=4)
            return _context.get_dummy_value()

        rows = (_POINTER, _NUMBER)
        return types.void(*rows, _NUMBER, _NUMBER, *rows, _POINTER, _POINTER, _NUMBER), emit

    return add


def _long(number: int) -> Any:
    return ir.Constant(_I64, number)


def _place(builder: Any, pointer: Any, index: Any, kind: Any) -> Any:
    """A pointer to something of this type, ``index`` words on."""
    words = builder.bitcast(pointer, _I32.as_pointer())
    return address_of(builder, builder.gep(words, [index]), kind)


@contextmanager
def _chunks(builder: Any, lanes: int, num_words: Any) -> Iterator[tuple[Any, Any]]:
    """A loop over vectors of words: the first one's index, and which of them are there."""
    num = builder.udiv(builder.add(num_words, _long(lanes - 1)), _long(lanes))
    order = ir.Constant(ir.VectorType(_I32, lanes), list(range(lanes)))
    with cgutils.for_range(builder, num) as chunk:
        index = builder.mul(chunk.index, _long(lanes))
        left = builder.trunc(builder.sub(num_words, index), _I32)
        yield index, builder.icmp_signed("<", order, spread(builder, left, lanes))


def _masked_load(builder: Any, pointer: Any, index: Any, mask: Any, lanes: int) -> Any:
    """Words from an index on; 0, and no look at memory, where the mask says no."""
    words = ir.VectorType(_I32, lanes)
    place = _place(builder, pointer, index, words)
    kind = ir.FunctionType(words, [place.type, _I32, mask.type, words])
    name = f"llvm.masked.load.v{lanes}i32.p0"
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(function, [place, ir.Constant(_I32, 2), mask, splat(words, 0)])


def _ask_for(builder: Any, rows: Any, row: Any, stride: Any, index: Any) -> None:
    """Ask memory for a word of a row before it is needed: the processor does not see where reading
    goes, which skips what is another head's.
    """
    here = builder.add(builder.mul(row, stride), builder.mul(index, _long(_WORD)))
    fetch(builder, builder.gep(rows, [here]), 0)


def _turned(builder: Any, vectors: Sequence[Any]) -> Sequence[Any]:
    """The transpose of as many vectors as each has lanes, by swapping ever larger blocks."""
    turned, lanes = list(vectors), len(vectors)
    mask_type = ir.VectorType(_I32, lanes)
    size = 1
    while size < lanes:
        low = [lane if not lane & size else lane - size + lanes for lane in range(lanes)]
        high = [lane + size if not lane & size else lane + lanes for lane in range(lanes)]
        for first in (place for place in range(lanes) if not place & size):
            pair = turned[first], turned[first + size]
            turned[first], turned[first + size] = (
                builder.shuffle_vector(*pair, ir.Constant(mask_type, mask)) for mask in (low, high)
            )
        size *= 2
    return turned


def _widened(builder: Any, kind: FloatKind, words: Any) -> Sequence[Any]:
    """The floats of a vector of words: of bfloat16, which is a float's upper half, two."""
    floats = ir.VectorType(_F32, words.type.count)
    if kind == "float32":
        return [builder.bitcast(words, floats)]
    upper = ir.Constant(words.type, [-(1 << 16)] * words.type.count)
    halves = builder.shl(words, splat(words.type, 16)), builder.and_(words, upper)
    return [builder.bitcast(half, floats) for half in halves]


def _add_product(builder: Any, total: Any, left: Any, right: Any) -> None:
    builder.store(_call(builder, "fmuladd", left, right, builder.load(total)), total)


def _call(builder: Any, name: str, *operands: Any) -> Any:
    """What LLVM's own function of this name makes of floats, or of vectors of them."""
    kind = operands[0].type
    suffix = f"v{kind.count}f32" if isinstance(kind, ir.VectorType) else "f32"
    function = ir.FunctionType(kind, [kind] * len(operands))
    return builder.call(
        cgutils.get_or_insert_function(builder.module, function, f"llvm.{name}.{suffix}"), operands
    )


def _in_sight(builder: Any, lanes: int, low: Any, high: Any) -> Iterator[Any]:
    """For each vector of a block, which of its tokens are from ``low`` on and before ``high``."""
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


def _exponential(builder: Any, x: Any) -> Any:
    """Of a number up to 0, or of a vector of them, within 3 of 10**7; of NaN it is NaN."""
    count = x.type.count if isinstance(x.type, ir.VectorType) else 0
    words = ir.VectorType(_I32, count) if count else _I32

    def constant(kind: Any, value: float) -> Any:
        return splat(kind, value) if count else ir.Constant(kind, value)

    lowest = constant(x.type, _LOWEST)
    x = builder.select(builder.fcmp_ordered("<", x, lowest), lowest, x)
    power = _call(builder, "rint", builder.fmul(x, constant(x.type, _LOG2_E)))
    rest = _call(builder, "fmuladd", power, constant(x.type, -_LN2_HIGH), x)
    rest = _call(builder, "fmuladd", power, constant(x.type, -_LN2_LOW), rest)
    series = constant(x.type, _SERIES[0])
    for factor in _SERIES[1:]:
        series = _call(builder, "fmuladd", series, rest, constant(x.type, factor))
    exponent = builder.add(builder.fptosi(power, words), constant(words, 127))
    return builder.fmul(series, builder.bitcast(builder.shl(exponent, constant(words, 23)), x.type))
