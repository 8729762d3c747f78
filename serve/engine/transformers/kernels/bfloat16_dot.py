"""Dot products of bfloat16 by the instruction that sums two at once, kept in registers together.

AVX-512 BF16: ``vdpbf16ps`` adds two products to a float32, for 32 pairs at a time. A row of
activations is rounded to bfloat16 for it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from serve.engine.transformers.kernels.vectors import (
    address_of,
    apart,
    fetch,
    reduced,
    splat,
)

_I32, _F32 = ir.IntType(32), ir.FloatType()
_AHEAD = 8192
"""Bytes between what is multiplied and what is asked for; docs/lab-notes.md."""
OUT_STRIDE = 16
"""Numbers from one row's sums to the next one's."""


class _BFloat(ir.Type):  # type: ignore[misc]  # llvmlite has no types
    """LLVM's bfloat, which llvmlite has no name for."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


@functools.cache
def dots(width: int, num_rows: int, num_outputs: int) -> Any:
    """Multiply some rows of weights with some rows of activations.

    ``(weight, weight_stride, rows, row_stride, length, out)``, addresses but for the numbers;
    strides are in bytes.

    weight
        ``num_outputs`` rows of bfloat16.
    rows
        ``num_rows`` of them.
    length
        of a row, in bytes: a multiple of ``width``.
    out
        float32 ``[num_rows, OUT_STRIDE]``, of which it writes ``num_outputs`` in each row.

    Memory is asked for weights ahead of time: rows are too short for the processor to see where it
    goes.
    """

    @intrinsic
    def multiply(
        _context: Any,
        weight: Any,
        weight_stride: Any,
        rows: Any,
        row_stride: Any,
        length: Any,
        out: Any,
    ) -> Any:
        def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            weight, weight_stride, rows, row_stride, length, out = arguments
            weights = apart(builder, weight, weight_stride, num_outputs)
            numbers = apart(builder, rows, row_stride, num_rows)
            typed = builder.bitcast(out, _F32.as_pointer())
            for at, some in _sums(builder, width, weights, numbers, length):
                for start in range(0, some.type.count, num_outputs):
                    part = _lanes(builder, some, start, num_outputs)
                    index = (at + start) // num_outputs * OUT_STRIDE
                    place = builder.gep(typed, [ir.Constant(ir.IntType(64), index)])
                    builder.store(part, builder.bitcast(place, part.type.as_pointer()), align=4)
            return _context.get_dummy_value()

        pointer, number = types.voidptr, types.int64
        return types.void(pointer, number, pointer, number, number, pointer), emit

    return multiply


def _sums(
    builder: Any, width: int, weights: Sequence[Any], rows: Sequence[Any], length: Any
) -> Sequence[tuple[int, Any]]:
    """float32 vectors, each with the place of its first number in dense ``[rows, outputs]``."""
    floats = ir.VectorType(_F32, width // 4)
    pairs = [(row, weight) for row in rows for weight in weights]
    totals = [cgutils.alloca_once_value(builder, splat(floats, 0.0)) for _ in pairs]
    step_size = ir.Constant(ir.IntType(64), width)
    with cgutils.for_range(builder, builder.udiv(length, step_size)) as step:
        index = builder.mul(step.index, step_size)
        left = {id(weight): _load(builder, weight, index, width) for weight in weights}
        for weight in weights:
            fetch(builder, builder.gep(weight, [index]), _AHEAD)
        right = {id(row): _load(builder, row, index, width) for row in rows}
        for (row, weight), total in zip(pairs, totals, strict=True):
            operands = [builder.load(total), left[id(weight)], right[id(row)]]
            builder.store(_dot(builder, operands, width), total)
    return reduced(builder, [builder.load(total) for total in totals], builder.fadd)


def _load(builder: Any, pointer: Any, index: Any, width: int) -> Any:
    kind = ir.VectorType(_BFloat(), width // 2)
    return builder.load(address_of(builder, builder.gep(pointer, [index]), kind), align=1)


def _dot(builder: Any, operands: Sequence[Any], width: int) -> Any:
    kind = ir.FunctionType(operands[0].type, [operand.type for operand in operands])
    name = f"llvm.x86.avx512bf16.dpbf16ps.{8 * width}"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), operands)


def _lanes(builder: Any, vector: Any, start: int, num: int) -> Any:
    mask = ir.Constant(ir.VectorType(_I32, num), list(range(start, start + num)))
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)
