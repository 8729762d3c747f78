"""Dot products of one row of floats with a few rows of activations, in vector registers.

Written in LLVM's own terms, because its loop vectoriser makes slower code of the same loops in
Python. The sums stay spread over the lanes until the row ends. Nothing in it is of one processor:
vectors are 16 weights wide, and LLVM cuts or joins them.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from serve.engine.transformers.kernels.layout import LANES, FloatKind
from serve.engine.transformers.kernels.vectors import across, apart, splat

_I16, _I32, _I64, _F32 = ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
_STEP = ir.Constant(_I64, LANES)


@functools.cache
def dots(kind: FloatKind, num_rows: int) -> Any:
    """Multiply one row of weights with some rows, ``(weight, rows, stride, length, out)``.

    A row's sum is added up in the same order whatever ``num_rows`` is: a token's result does not
    depend on the others.

    Arguments of what is returned, addresses but for the numbers:

    weight
        a row as it is stored.
    rows, stride
        ``num_rows`` rows of float32, these many bytes apart.
    length
        of a row, in weights; a multiple of ``LANES``.
    out
        float32, ``num_rows`` of them.
    """

    @intrinsic
    def multiply(_context: Any, weight: Any, rows: Any, stride: Any, length: Any, out: Any) -> Any:
        def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            weight, rows, stride, length, out = arguments
            sums = _sums(builder, kind, weight, apart(builder, rows, stride, num_rows), length)
            typed = builder.bitcast(out, _F32.as_pointer())
            for row, value in enumerate(sums):
                place = builder.gep(typed, [ir.Constant(_I64, row)])
                builder.store(across(builder, value), place)
            return _context.get_dummy_value()

        pointer_, number = types.voidptr, types.int64
        return types.void(pointer_, pointer_, number, number, pointer_), emit

    return multiply


def _load(builder: Any, pointer: Any, index: Any, item: Any) -> Any:
    """``LANES`` items at an index, aligned or not."""
    typed = builder.bitcast(pointer, item.as_pointer())
    vector = ir.VectorType(item, LANES).as_pointer()
    loaded = builder.load(builder.bitcast(builder.gep(typed, [index]), vector))
    loaded.align = 1
    return loaded


def _sums(
    builder: Any, kind: FloatKind, weight: Any, rows: Sequence[Any], length: Any
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
