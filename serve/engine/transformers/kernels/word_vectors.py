"""Vectors of 32-bit words, as attention's loops read the cache, and what is made of their floats.

A word is one float32 or two bfloat16, the even one in the lower half. Such a pair becomes floats by
a shift and by a mask, so that lanes hold even numbers in one vector and odd ones in the next.
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

from serve.engine.transformers.kernels.layout import FloatKind
from serve.engine.transformers.kernels.vectors import address_of, apart, fetch, splat, spread

_I32, _I64, _F32 = ir.IntType(32), ir.IntType(64), ir.FloatType()
_POINTER, _NUMBER = types.voidptr, types.int64
WORD = 4
"""Bytes."""
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
            with chunks(builder, lanes, num_words) as (index, mask):
                vectors = [masked_load(builder, place, index, mask, lanes) for place in places]
                for row in range(lanes):
                    ask_for(builder, wanted, long(row), wanted_stride, index)
                for row, vector in enumerate(_turned(builder, vectors)):
                    at = builder.mul(builder.add(index, long(row)), long(lanes))
                    builder.store(vector, place_of(builder, out, at, vector.type), align=4)
            return _context.get_dummy_value()

        return types.void(_POINTER, _NUMBER, _NUMBER, _POINTER, _NUMBER, _POINTER), emit

    return write


def long(number: int) -> Any:
    """A constant int64."""
    return ir.Constant(_I64, number)


def place_of(builder: Any, pointer: Any, index: Any, kind: Any) -> Any:
    """A pointer to something of this type, ``index`` words on."""
    words = builder.bitcast(pointer, _I32.as_pointer())
    return address_of(builder, builder.gep(words, [index]), kind)


@contextmanager
def chunks(builder: Any, lanes: int, num_words: Any) -> Iterator[tuple[Any, Any]]:
    """A loop over vectors of words: the first one's index, and which of them are there."""
    num = builder.udiv(builder.add(num_words, long(lanes - 1)), long(lanes))
    order = ir.Constant(ir.VectorType(_I32, lanes), list(range(lanes)))
    with cgutils.for_range(builder, num) as chunk:
        index = builder.mul(chunk.index, long(lanes))
        left = builder.trunc(builder.sub(num_words, index), _I32)
        yield index, builder.icmp_signed("<", order, spread(builder, left, lanes))


def masked_load(builder: Any, pointer: Any, index: Any, mask: Any, lanes: int) -> Any:
    """Words from an index on; 0, and no look at memory, where the mask says no."""
    words = ir.VectorType(_I32, lanes)
    place = place_of(builder, pointer, index, words)
    kind = ir.FunctionType(words, [place.type, _I32, mask.type, words])
    name = f"llvm.masked.load.v{lanes}i32.p0"
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(function, [place, ir.Constant(_I32, 2), mask, splat(words, 0)])


def ask_for(builder: Any, rows: Any, row: Any, stride: Any, index: Any) -> None:
    """Ask memory for a word of a row before it is needed: the processor does not see where reading
    goes, which skips what is another head's.
    """
    here = builder.add(builder.mul(row, stride), builder.mul(index, long(WORD)))
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


def widened(builder: Any, kind: FloatKind, words: Any) -> Sequence[Any]:
    """The floats of a vector of words: of bfloat16, which is a float's upper half, two."""
    floats = ir.VectorType(_F32, words.type.count)
    if kind == "float32":
        return [builder.bitcast(words, floats)]
    upper = ir.Constant(words.type, [-(1 << 16)] * words.type.count)
    halves = builder.shl(words, splat(words.type, 16)), builder.and_(words, upper)
    return [builder.bitcast(half, floats) for half in halves]


def call_floats(builder: Any, name: str, *operands: Any) -> Any:
    """Result of LLVM's own function of this name, for floats or vectors of them."""
    kind = operands[0].type
    suffix = f"v{kind.count}f32" if isinstance(kind, ir.VectorType) else "f32"
    function = ir.FunctionType(kind, [kind] * len(operands))
    return builder.call(
        cgutils.get_or_insert_function(builder.module, function, f"llvm.{name}.{suffix}"), operands
    )


def exponential_of(builder: Any, x: Any) -> Any:
    """Exponential of a number up to 0, or of a vector of them, within 3 of 10**7; NaN of NaN."""
    count = x.type.count if isinstance(x.type, ir.VectorType) else 0
    words = ir.VectorType(_I32, count) if count else _I32

    def constant(kind: Any, value: float) -> Any:
        return splat(kind, value) if count else ir.Constant(kind, value)

    lowest = constant(x.type, _LOWEST)
    x = builder.select(builder.fcmp_ordered("<", x, lowest), lowest, x)
    power = call_floats(builder, "rint", builder.fmul(x, constant(x.type, _LOG2_E)))
    rest = call_floats(builder, "fmuladd", power, constant(x.type, -_LN2_HIGH), x)
    rest = call_floats(builder, "fmuladd", power, constant(x.type, -_LN2_LOW), rest)
    series = constant(x.type, _SERIES[0])
    for factor in _SERIES[1:]:
        series = call_floats(builder, "fmuladd", series, rest, constant(x.type, factor))
    exponent = builder.add(builder.fptosi(power, words), constant(words, 127))
    return builder.fmul(series, builder.bitcast(builder.shl(exponent, constant(words, 23)), x.type))
