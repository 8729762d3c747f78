"""Dot products of one row of stored weights with a few rows of activations, in vector registers.

Written in LLVM's own terms, because its loop vectoriser makes three times slower code of the same
loops in Python: it ends each group of 128 weights with a sum across the register and a loop for
what is left. Here the sums stay spread over the lanes until the row ends. Nothing in it is of one
processor: vectors are 16 weights wide, and LLVM cuts or joins them; multiplying pairs of 16-bit
integers and adding them is one instruction on x86 (``vpmaddwd``) since SSE2.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from serve.engine.batching.loops.vectors import across, splat, spread

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
_STEP = ir.Constant(_I64, LANES)

Products = Callable[[Any], Sequence[Any]]
"""Of an index into the weights: what each row's sum grows by there, as vectors."""
Kind = Literal["int8", "int4", "bfloat16", "float32"]
"""What a weight is stored as."""


@functools.cache
def dots(kind: Kind, num_rows: int) -> Any:
    """``(weight, rows, stride, scale, groups, length, out)``: one row of weights times some rows.

    A row's sum is added up in the same order whatever ``num_rows`` is: a token's result does not
    depend on the others.

    Arguments of what is returned, addresses but for the numbers:

    weight
        a row as it is stored; of int4, low bits are the even input and 8 means zero.
    rows, stride
        ``num_rows`` rows, these many bytes apart: int16 for integers, with the even inputs
        before the odd ones for int4; else float32.
    scale
        of int4: float32 for each group. Else not read.
    groups, length
        how many, and how long each is: in bytes of weights for int4, else in weights. Within a
        group sums are 32-bit integers: 127 * 32,767 * 256 stays below 2**31 for int8, and for int4
        8 * 32,767 * 2 * 4,096. A length is a multiple of ``LANES``.
    out
        float32, ``num_rows`` of them.
    """

    @intrinsic
    def multiply(
        _context: Any,
        weight: Any,
        rows: Any,
        stride: Any,
        scale: Any,
        groups: Any,
        length: Any,
        out: Any,
    ) -> Any:
        def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            weight, rows, stride, scale, groups, length, out = arguments
            at = [
                builder.gep(rows, [builder.mul(stride, ir.Constant(_I64, row))])
                for row in range(num_rows)
            ]
            if kind in {"float32", "bfloat16"}:
                sums = _of_floats(builder, kind, weight, at, length)
            elif kind == "int8":
                products = _of_int8(builder, weight, at)
                sums = _of_groups(builder, products, num_rows, groups, length, None)
            else:
                odd_at = builder.mul(builder.mul(groups, length), ir.Constant(_I64, 2))
                products = _of_int4(builder, weight, at, odd_at)
                sums = _of_groups(builder, products, num_rows, groups, length, scale)
            for row, value in enumerate(sums):
                typed = builder.bitcast(out, _F32.as_pointer())
                place = builder.gep(typed, [ir.Constant(_I64, row)])
                builder.store(across(builder, value), place)
            return _context.get_dummy_value()

        pointer_, number = types.voidptr, types.int64
        signature = types.void(pointer_, pointer_, number, pointer_, number, number, pointer_)
        return signature, emit

    return multiply


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


def _of_int8(builder: Any, weight: Any, rows: Sequence[Any]) -> Products:
    def products(index: Any) -> Sequence[Any]:
        bytes_ = builder.sext(_load(builder, weight, index, _I8), ir.VectorType(_I16, LANES))
        return [_multiply_add(builder, bytes_, _load(builder, row, index, _I16)) for row in rows]

    return products


def _of_int4(builder: Any, weight: Any, rows: Sequence[Any], odd_at: Any) -> Products:
    words = ir.VectorType(_I16, LANES)
    odds = [builder.gep(row, [odd_at]) for row in rows]

    def products(index: Any) -> Sequence[Any]:
        pairs = builder.zext(_load(builder, weight, index, _I8), words)
        low = builder.sub(builder.and_(pairs, splat(words, 15)), splat(words, 8))
        high = builder.sub(builder.lshr(pairs, splat(words, 4)), splat(words, 8))
        return [
            builder.add(
                _multiply_add(builder, low, _load(builder, row, index, _I16)),
                _multiply_add(builder, high, _load(builder, odd, index, _I16)),
            )
            for row, odd in zip(rows, odds, strict=True)
        ]

    return products


def _of_groups(
    builder: Any, products: Products, num_rows: int, groups: Any, length: Any, scales: Any
) -> Sequence[Any]:
    """Per row: the sum over groups of its scale (or 1) times the sum of products, over lanes."""
    integers, floats = ir.VectorType(_I32, _SUMS), ir.VectorType(_F32, _SUMS)
    totals = [cgutils.alloca_once_value(builder, splat(floats, 0.0)) for _ in range(num_rows)]
    parts = [cgutils.alloca_once(builder, integers) for _ in range(num_rows)]
    with cgutils.for_range(builder, groups) as group:
        for part in parts:
            builder.store(splat(integers, 0), part)
        start = builder.mul(group.index, length)
        with cgutils.for_range(builder, builder.udiv(length, _STEP)) as step:
            index = builder.add(start, builder.mul(step.index, _STEP))
            for part, more in zip(parts, products(index), strict=True):
                builder.store(builder.add(builder.load(part), more), part)
        factor = None if scales is None else _scale(builder, scales, group.index)
        for part, total in zip(parts, totals, strict=True):
            sums = builder.sitofp(builder.load(part), floats)
            if factor is not None:
                sums = builder.fmul(sums, factor)
            builder.store(builder.fadd(builder.load(total), sums), total)
    return [builder.load(total) for total in totals]


def _of_floats(
    builder: Any, kind: Kind, weight: Any, rows: Sequence[Any], length: Any
) -> Sequence[Any]:
    floats = ir.VectorType(_F32, LANES)
    multiply_add = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(floats, [floats] * 3), f"llvm.fmuladd.v{LANES}f32"
    )
    totals = [cgutils.alloca_once_value(builder, splat(floats, 0.0)) for _ in rows]
    with cgutils.for_range(builder, builder.udiv(length, _STEP)) as step:
        index = builder.mul(step.index, _STEP)
        if kind == "float32":
            weights = _load(builder, weight, index, _F32)
        else:  # bfloat16 is the upper half of a float32
            words = ir.VectorType(_I32, LANES)
            wide = builder.zext(_load(builder, weight, index, _I16), words)
            weights = builder.bitcast(builder.shl(wide, splat(words, 16)), floats)
        for row, total in zip(rows, totals, strict=True):
            numbers = _load(builder, row, index, _F32)
            grown = builder.call(multiply_add, [weights, numbers, builder.load(total)])
            builder.store(grown, total)
    return [builder.load(total) for total in totals]


def _scale(builder: Any, scales: Any, group: Any) -> Any:
    """A group's scale in every lane."""
    place = builder.gep(builder.bitcast(scales, _F32.as_pointer()), [group])
    return spread(builder, builder.load(place), _SUMS)
