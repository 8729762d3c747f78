"""Dot products by the instructions that sum several at once, the sums of a block kept in registers.

Stored integers (AVX-512 VNNI): ``vpdpbusd`` adds four products of an unsigned and a signed byte to
a 32-bit integer, for 64 pairs at a time. Weights are its unsigned side: 8-bit ones plus 128, 4-bit
ones as they are stored, plus 8. What that adds is taken off before: each sum starts at -128 (or -8)
times the sum of its row.

A row of 16-bit integers is two planes of bytes, ``x = 256 · high + low``, both signed; a row of
W8A8's, in [-127, 127], is one. Sums are exact in both.

bfloat16 (AVX-512 BF16): ``vdpbf16ps`` adds two products to a float32, for 32 pairs at a time. A row
is one plane of bfloat16.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Literal

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from serve.engine.batching.loops.vectors import reduced, splat, spread

Bits = Literal[16, 8, 4]
"""Of a weight: bfloat16, int8 or int4."""
ZERO = {8: 128, 4: 8}
"""What stands for a weight of zero on the unsigned side."""

_I8, _I32, _I64, _F32 = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()
_WIDTHS = (64, 32, 16)
_AHEAD = 8192
"""Bytes between what is multiplied and what is asked for; docs/lab-notes.md."""
OUT_STRIDE = 16
"""Between two rows' sums, in numbers."""


class _BFloat(ir.Type):  # type: ignore[misc]  # llvmlite has no types
    """LLVM's bfloat, which llvmlite has no name for."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


@functools.cache
def is_available(bits: Bits) -> bool:
    """Whether this processor has the instruction, for registers of all three widths."""
    features = llvmlite.binding.get_host_cpu_features()
    needed = "avx512bf16" if bits == 16 else "avx512vnni"
    return bool(features.get(needed) and features.get("avx512vl"))


def width_for(length: int) -> int:
    """Bytes in a vector for parts of ``length`` bytes, a multiple of 16."""
    return next(width for width in _WIDTHS if length % width == 0)


@functools.cache
def dots(bits: Bits, planes: int, width: int, num_rows: int, num_outputs: int) -> Any:
    """Some rows of weights times some rows of activations.

    ``(weight, weight_stride, rows, row_stride, scale, groups, length, out)``, addresses but for the
    numbers; strides are in bytes.

    weight
        ``num_outputs`` rows as they are stored; of 4 bits, low ones are the even input.
    rows
        ``num_rows`` of them: the planes, of 4-bit weights each with the even inputs before the odd
        ones; then, of integers, for each plane and group an int32, what its sum starts at.
    scale
        of 4 bits: float32 for each output and group. Of others not read; they have one group.
    groups, length
        how many, and how long each is in bytes of weights, a multiple of ``width``.
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
        scale: Any,
        groups: Any,
        length: Any,
        out: Any,
    ) -> Any:
        def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            weight, weight_stride, rows, row_stride, scale, groups, length, out = arguments
            block = _Block(builder, bits, planes, width, groups, length)
            weights = _apart(builder, weight, weight_stride, num_outputs)
            numbers = _apart(builder, rows, row_stride, num_rows)
            scales = _apart(builder, scale, builder.mul(groups, _number(4)), num_outputs)
            typed = builder.bitcast(out, _F32.as_pointer())
            for at, some in block.sums(weights, numbers, scales):
                for start in range(0, some.type.count, num_outputs):
                    part = _lanes(builder, some, start, num_outputs)
                    index = (at + start) // num_outputs * OUT_STRIDE
                    place = builder.gep(typed, [_number(index)])
                    builder.store(part, builder.bitcast(place, part.type.as_pointer()), align=4)
            return _context.get_dummy_value()

        pointer, number = types.voidptr, types.int64
        operands = (pointer, number, pointer, number, pointer, number, number, pointer)
        return types.void(*operands), emit

    return multiply


class _Block:
    """The sums of every row with every output, kept in registers together."""

    def __init__(
        self, builder: Any, bits: Bits, planes: int, width: int, groups: Any, length: Any
    ) -> None:
        self._builder, self._bits, self._planes, self._width = builder, bits, planes, width
        self._groups, self._length = groups, length
        self._plane = builder.mul(builder.mul(groups, length), _number(2 if bits == 4 else 1))
        self._bytes = ir.VectorType(_I8, width)
        self._sums = ir.VectorType(_F32 if bits == 16 else _I32, width // 4)

    def sums(
        self, weights: Sequence[Any], rows: Sequence[Any], scales: Sequence[Any]
    ) -> Sequence[tuple[int, Any]]:
        """float32 vectors, each with the place of its first number in dense ``[rows, outputs]``."""
        builder = self._builder
        pairs = [(row, output) for row in range(len(rows)) for output in range(len(weights))]
        parts = {
            (pair, plane): cgutils.alloca_once(builder, self._sums)
            for pair in pairs
            for plane in range(self._planes)
        }
        floats = ir.VectorType(_F32, self._sums.count)
        totals = [cgutils.alloca_once_value(builder, splat(floats, 0.0)) for _ in pairs]
        with cgutils.for_range(builder, self._groups) as group:
            for ((row, _), plane), part in parts.items():
                builder.store(self._start(rows[row], plane, group.index), part)
            steps = builder.udiv(self._length, _number(self._width))
            first = builder.mul(group.index, self._length)
            with cgutils.for_range(builder, steps) as step:
                index = builder.add(first, builder.mul(step.index, _number(self._width)))
                self._add(parts, weights, rows, index)
            if self._bits == 4:
                for pair, total in zip(pairs, totals, strict=True):
                    whole = self._joined([builder.load(parts[pair, p]) for p in self._each()])
                    factor = self._scale(scales[pair[1]], group.index)
                    value = self._fused(builder.sitofp(whole, floats), factor, total)
                    builder.store(value, total)
        if self._bits == 4:
            return reduced(builder, [builder.load(total) for total in totals], builder.fadd)
        if self._bits == 16:
            return reduced(builder, [builder.load(part) for part in parts.values()], builder.fadd)
        per_plane = [
            reduced(builder, [builder.load(parts[pair, plane]) for pair in pairs], builder.add)
            for plane in self._each()
        ]
        return [
            (at, self._float([plane[number][1] for plane in per_plane]))
            for number, (at, _) in enumerate(per_plane[0])
        ]

    def _each(self) -> range:
        return range(self._planes)

    def _start(self, row: Any, plane: int, group: Any) -> Any:
        """What a group's sum starts at, in one lane."""
        if self._bits == 16:
            return splat(self._sums, 0.0)
        builder = self._builder
        starts = builder.gep(row, [builder.mul(self._plane, _number(self._planes))])
        index = builder.add(builder.mul(self._groups, _number(plane)), group)
        start = builder.load(
            builder.gep(builder.bitcast(starts, _I32.as_pointer()), [index]), align=4
        )
        return builder.insert_element(splat(self._sums, 0), start, ir.Constant(_I32, 0))

    def _add(self, parts: Any, weights: Sequence[Any], rows: Sequence[Any], index: Any) -> None:
        builder = self._builder
        unsigned = [self._unsigned(self._load(weight, index)) for weight in weights]
        for weight in weights:
            self._fetch(weight, index)
        half = builder.udiv(self._plane, _number(2))
        for ((row, output), plane), part in parts.items():
            numbers = builder.gep(rows[row], [builder.mul(self._plane, _number(plane))])
            value = builder.load(part)
            for which, bytes_ in enumerate(unsigned[output]):
                signed = self._load(numbers, builder.add(index, half) if which else index)
                value = self._dot(value, bytes_, signed)
            builder.store(value, part)

    def _unsigned(self, stored: Any) -> Sequence[Any]:
        builder = self._builder
        if self._bits == 16:
            return [stored]
        if self._bits == 8:
            return [builder.xor(stored, splat(self._bytes, ZERO[8]))]
        low = builder.and_(stored, splat(self._bytes, 15))
        return [low, builder.lshr(stored, splat(self._bytes, 4))]

    def _load(self, pointer: Any, index: Any) -> Any:
        builder = self._builder
        place = builder.bitcast(builder.gep(pointer, [index]), self._bytes.as_pointer())
        return builder.load(place, align=1)

    def _fetch(self, pointer: Any, index: Any) -> None:
        builder = self._builder
        kind = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), _I32, _I32, _I32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        place = builder.gep(pointer, [builder.add(index, _number(_AHEAD))])
        builder.call(function, [place, *(ir.Constant(_I32, value) for value in (0, 3, 1))])

    def _dot(self, total: Any, unsigned: Any, signed: Any) -> Any:
        builder, size = self._builder, 8 * self._width
        if self._bits == 16:
            kind, name = ir.VectorType(_BFloat(), self._width // 2), "avx512bf16.dpbf16ps"
        else:
            kind, name = self._sums, "avx512.vpdpbusd"
        function_type = ir.FunctionType(self._sums, [self._sums, kind, kind])
        function = cgutils.get_or_insert_function(
            builder.module, function_type, f"llvm.x86.{name}.{size}"
        )
        operands = [builder.bitcast(value, kind) for value in (unsigned, signed)]
        return builder.call(function, [total, *operands])

    def _joined(self, planes: Sequence[Any]) -> Any:
        """``256 · high + low`` of integers."""
        if len(planes) == 1:
            return planes[0]
        builder = self._builder
        return builder.add(builder.shl(planes[0], splat(planes[0].type, 8)), planes[1])

    def _float(self, planes: Sequence[Any]) -> Any:
        """The same of integers that would not fit 32 bits, as floats."""
        builder = self._builder
        kind = ir.VectorType(_F32, planes[0].type.count)
        floats = [builder.sitofp(plane, kind) for plane in planes]
        if len(floats) == 1:
            return floats[0]
        return builder.fadd(builder.fmul(floats[0], splat(kind, 256.0)), floats[1])

    def _scale(self, scales: Any, group: Any) -> Any:
        builder = self._builder
        place = builder.gep(builder.bitcast(scales, _F32.as_pointer()), [group])
        return spread(builder, builder.load(place, align=4), self._sums.count)

    def _fused(self, value: Any, factor: Any, total: Any) -> Any:
        """``value * factor`` plus what is in ``total``."""
        builder, kind = self._builder, value.type
        name = f"llvm.fmuladd.v{kind.count}f32"
        function_type = ir.FunctionType(kind, [kind] * 3)
        function = cgutils.get_or_insert_function(builder.module, function_type, name)
        return builder.call(function, [value, factor, builder.load(total)])


def _number(value: int) -> Any:
    return ir.Constant(_I64, value)


def _lanes(builder: Any, vector: Any, start: int, num: int) -> Any:
    mask = ir.Constant(ir.VectorType(_I32, num), list(range(start, start + num)))
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)


def _apart(builder: Any, pointer: Any, stride: Any, num: int) -> Sequence[Any]:
    return [builder.gep(pointer, [builder.mul(stride, _number(at))]) for at in range(num)]
