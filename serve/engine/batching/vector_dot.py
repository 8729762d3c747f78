"""Dot products of one row of stored weights with one row of 16-bit integers, in vector registers.

Written in LLVM's own terms, because its loop vectoriser makes three times slower code of the same
loops in Python: it ends each group of 128 weights with a sum across the register and a loop for
what is left. Here the sums stay spread over the lanes until the row ends. Nothing in it is of one
processor: vectors are 16 weights wide, and LLVM cuts or joins them; multiplying pairs of 16-bit
integers and adding them is one instruction on x86 (``vpmaddwd``) since SSE2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 16
"""Weights in one vector; a row's length is a multiple of it."""

_I8, _I16, _I32, _I64, _F32 = (
    ir.IntType(8),
    ir.IntType(16),
    ir.IntType(32),
    ir.IntType(64),
    ir.FloatType(),
)
_SUMS = LANES // 2
_EVENS = ir.Constant(ir.VectorType(_I32, _SUMS), list(range(0, LANES, 2)))
_ODDS = ir.Constant(ir.VectorType(_I32, _SUMS), list(range(1, LANES, 2)))

Products = Callable[[Any], Any]
"""Of an index into the row: the sums of pairs of products there, as int32 lanes."""


def _splat(kind: Any, value: float) -> Any:
    return ir.Constant(kind, [value] * kind.count)


def _load(builder: Any, pointer: Any, index: Any, item: Any) -> Any:
    """``LANES`` items at an index, aligned or not."""
    typed = builder.bitcast(pointer, item.as_pointer())
    vector = ir.VectorType(item, LANES).as_pointer()
    loaded = builder.load(builder.bitcast(builder.gep(typed, [index]), vector))
    loaded.align = 1
    return loaded


def _multiply_add(builder: Any, left: Any, right: Any) -> Any:
    """Of two vectors of int16: int32 lanes, each the sum of two neighbours' products."""
    wide = ir.VectorType(_I32, LANES)
    product = builder.mul(builder.sext(left, wide), builder.sext(right, wide))
    nothing = ir.Constant(wide, ir.Undefined)
    return builder.add(
        builder.shuffle_vector(product, nothing, _EVENS),
        builder.shuffle_vector(product, nothing, _ODDS),
    )


def _sum_of_groups(builder: Any, groups: Any, length: Any, scale: Any, products: Products) -> Any:
    """``sum over groups of scale * (sum of products)``; sums within a group are int32.

    Args:
        groups: how many.
        length: of each, in what ``products`` counts; a multiple of ``LANES``.
        scale: float of a group's index.
    """
    integers, floats = ir.VectorType(_I32, _SUMS), ir.VectorType(_F32, _SUMS)
    total = cgutils.alloca_once_value(builder, _splat(floats, 0.0))
    part = cgutils.alloca_once(builder, integers)
    lanes = ir.Constant(_I64, LANES)
    with cgutils.for_range(builder, groups) as group:
        builder.store(_splat(integers, 0), part)
        start = builder.mul(group.index, length)
        with cgutils.for_range(builder, builder.udiv(length, lanes)) as step:
            index = builder.add(start, builder.mul(step.index, lanes))
            builder.store(builder.add(builder.load(part), products(index)), part)
        sums = builder.sitofp(builder.load(part), floats)
        one = builder.insert_element(
            ir.Constant(floats, ir.Undefined), scale(group.index), ir.Constant(_I32, 0)
        )
        factor = builder.shuffle_vector(one, one, _splat(integers, 0))
        builder.store(builder.fadd(builder.load(total), builder.fmul(sums, factor)), total)
    lanes_of_total = builder.load(total)
    result = ir.Constant(_F32, 0.0)
    for lane in range(_SUMS):
        result = builder.fadd(
            result, builder.extract_element(lanes_of_total, ir.Constant(_I32, lane))
        )
    return result


@intrinsic
def dot_int8(_context: Any, weight: Any, row: Any, groups: Any, length: Any) -> Any:
    """float32: int8 ``weight`` times int16 ``row``, ``groups`` times ``length`` of them.

    A group of up to 256 cannot overflow: 127 * 32,767 * 256 is below 2**31.
    """

    def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        weight, row, groups, length = arguments

        def products(index: Any) -> Any:
            bytes_ = _load(builder, weight, index, _I8)
            return _multiply_add(
                builder,
                builder.sext(bytes_, ir.VectorType(_I16, LANES)),
                _load(builder, row, index, _I16),
            )

        one = ir.Constant(_F32, 1.0)
        return _sum_of_groups(builder, groups, length, lambda _: one, products)

    pointers = (types.voidptr, types.voidptr)
    return types.float32(*pointers, types.int64, types.int64), emit


@intrinsic
def dot_int4(
    _context: Any, weight: Any, even: Any, odd: Any, scale: Any, groups: Any, length: Any
) -> Any:
    """float32: 4-bit ``weight``, less 8, times ``scale`` of its group, times int16 rows.

    Args:
        weight: bytes, low bits the even input.
        even, odd: the row's inputs, apart.
        scale: float32 by group.
        length: bytes of a group. 8 * 32,767 * 2 * length stays below 2**31 up to 4,096.
    """

    def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        weight, even, odd, scale, groups, length = arguments
        words = ir.VectorType(_I16, LANES)
        scales = builder.bitcast(scale, _F32.as_pointer())

        def products(index: Any) -> Any:
            pairs = builder.zext(_load(builder, weight, index, _I8), words)
            offset = _splat(words, 8)
            low = builder.sub(builder.and_(pairs, _splat(words, 15)), offset)
            high = builder.sub(builder.lshr(pairs, _splat(words, 4)), offset)
            return builder.add(
                _multiply_add(builder, low, _load(builder, even, index, _I16)),
                _multiply_add(builder, high, _load(builder, odd, index, _I16)),
            )

        return _sum_of_groups(
            builder,
            groups,
            length,
            lambda group: builder.load(builder.gep(scales, [group])),
            products,
        )

    pointers = (types.voidptr,) * 4
    return types.float32(*pointers, types.int64, types.int64), emit


@intrinsic
def pointer(_context: Any, _address: Any) -> Any:
    """An int64 as a pointer."""

    def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), emit
