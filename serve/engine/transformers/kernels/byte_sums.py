"""Sums of products of bytes, for 16 outputs at once, by whatever instruction a processor has."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba.core import cgutils

from serve.engine.transformers.kernels.layout import PANEL

_I16, _I32 = ir.IntType(16), ir.IntType(32)
_BYTES = ir.VectorType(ir.IntType(8), 4 * PANEL)
_INTS = ir.VectorType(_I32, PANEL)
_PAIRS_OF_ZERO = ir.Constant(ir.VectorType(_I32, 2 * PANEL), [0] * (2 * PANEL))


@functools.cache
def instruction() -> str:
    """Name of what sums products of bytes here: ``avx512vnni``, ``avxvnni`` or ``none``."""
    features = llvmlite.binding.get_host_cpu_features()
    if features.get("avx512vnni"):
        return "avx512vnni"
    return "avxvnni" if features.get("avxvnni") else "none"


class Sum:
    """Whole sums of 16 outputs, by whatever instruction there is."""

    def __init__(self, builder: Any, start: Any) -> None:
        self._builder, self._start = builder, start
        self._instruction = instruction()
        self._pairs: Any = None if self._instruction != "none" else _PAIRS_OF_ZERO

    def add(self, unsigned: Any, signed: Any) -> None:
        """Four products for each output; ``signed`` is an int32 of four bytes in every lane."""
        builder = self._builder
        if self._instruction == "avx512vnni":
            words = builder.bitcast(unsigned, _INTS)
            self._start = self._dpbusd([self._start, words, signed], 512)
        elif self._instruction == "avxvnni":
            operands = (self._start, builder.bitcast(unsigned, _INTS), signed)
            halves = [
                self._dpbusd([_half(builder, operand, side) for operand in operands], 256)
                for side in (0, 1)
            ]
            both = ir.Constant(_INTS, list(range(PANEL)))
            self._start = builder.shuffle_vector(*halves, both)
        else:
            wide = ir.VectorType(_I16, 4 * PANEL)
            left = builder.zext(unsigned, wide)
            right = builder.sext(builder.bitcast(signed, _BYTES), wide)
            self._pairs = builder.add(self._pairs, _multiply_add(builder, left, right))

    def whole(self) -> Any:
        """int32, of each output."""
        if self._pairs is None:
            return self._start
        return self._builder.add(self._start, _of_neighbours(self._builder, self._pairs))

    def _dpbusd(self, operands: Sequence[Any], size: int) -> Any:
        kind = operands[0].type
        function = cgutils.get_or_insert_function(
            self._builder.module,
            ir.FunctionType(kind, [kind] * 3),
            f"llvm.x86.avx512.vpdpbusd.{size}",
        )
        return self._builder.call(function, operands)


def _multiply_add(builder: Any, left: Any, right: Any) -> Any:
    """int32 sums of two neighbours' products each, of two vectors of int16."""
    wide = ir.VectorType(_I32, left.type.count)
    return _of_neighbours(builder, builder.mul(builder.sext(left, wide), builder.sext(right, wide)))


def _of_neighbours(builder: Any, vector: Any) -> Any:
    """The sums of lanes 0 and 1, 2 and 3, and so on."""
    num = vector.type.count
    nothing = ir.Constant(vector.type, ir.Undefined)
    evens, odds = (
        builder.shuffle_vector(
            vector, nothing, ir.Constant(ir.VectorType(_I32, num // 2), list(range(side, num, 2)))
        )
        for side in (0, 1)
    )
    return builder.add(evens, odds)


def _half(builder: Any, vector: Any, side: int) -> Any:
    num = vector.type.count // 2
    lanes = list(range(side * num, (side + 1) * num))
    mask = ir.Constant(ir.VectorType(_I32, num), lanes)
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), mask)
