"""Products of rows in bytes with panels of 8-bit or 4-bit weights, their sums kept in registers.

A panel is 16 outputs side by side, so that a vector of 64 bytes holds four neighbouring inputs of
each of them, and one instruction (``vpdpbusd``, AVX-512 VNNI or AVX-VNNI) adds the four products to
each output's sum. Nothing is ever summed across lanes. Every 32 inputs, a *block*, the whole sums
become floats, times the weights' scale and the row's own for that block, as llama.cpp's q8_0 has
it; so one large activation costs its 31 neighbours some precision and nobody else.

Weights are the unsigned side of the instruction: 8-bit ones plus 128, 4-bit ones as they are
stored. What that adds is taken off before: a sum starts at minus the weights' zero point times the
sum of the row's block. Where there is no such instruction, pairs of 16-bit products are added
(``vpmaddwd``), which LLVM has for every processor (``byte_sums.py``).

::

    weights  8 bits   [panel][input / 4][16 outputs][4 inputs]               uint8
             4 bits   [panel][block][4][16 outputs][4 inputs]                uint8
                      low bits are input 4j + i of the block, high ones 16 + 4j + i
    scales            [panel][group]{16 bfloat16 or float32, then 16 uint8 zero points if any}
    a row             int8 [inputs], float32 [blocks] scales, int32 [blocks] what its sums start at
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from serve.engine.transformers.kernels.byte_sums import Sum
from serve.engine.transformers.kernels.layout import BLOCK, PANEL, Form
from serve.engine.transformers.kernels.vectors import address_of, apart, fetch, splat, spread

_AHEAD = 4096
"""Bytes between what is multiplied and what is asked for; docs/lab-notes.md."""

_I8, _I16, _I32, _I64, _F32 = (
    ir.IntType(8),
    ir.IntType(16),
    ir.IntType(32),
    ir.IntType(64),
    ir.FloatType(),
)
_BYTES = ir.VectorType(_I8, 4 * PANEL)
_INTS = ir.VectorType(_I32, PANEL)
_FLOATS = ir.VectorType(_F32, PANEL)


@functools.cache
def dots(form: Form, num_rows: int, num_panels: int) -> Any:
    """Multiply some rows with some panels, to float32 ``[num_rows, num_panels * 16]`` at ``out``.

    ``(weight, rows, row_stride, scale, groups, blocks, out)``: addresses but for the numbers;
    panels follow each other, rows are ``row_stride`` bytes apart; ``groups`` of the weights' scales
    are ``blocks`` blocks each. A row's result is added up in the same order whatever is beside it.
    """

    @intrinsic
    def multiply(
        _context: Any,
        weight: Any,
        rows: Any,
        row_stride: Any,
        scale: Any,
        groups: Any,
        blocks: Any,
        out: Any,
    ) -> Any:
        def emit(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            weight, rows, row_stride, scale, groups, blocks, out = arguments
            num_blocks = builder.mul(groups, blocks)
            weight_stride = builder.mul(num_blocks, _number(form.block_bytes))
            scale_stride = builder.mul(groups, _number(form.entry_bytes))
            tile = _Tile(
                builder,
                form,
                weights=apart(builder, weight, weight_stride, num_panels),
                scales=apart(builder, scale, scale_stride, num_panels),
                rows=apart(builder, rows, row_stride, num_rows),
                num_blocks=num_blocks,
            )
            for number, total in enumerate(tile.totals(groups, blocks)):
                place = builder.gep(out, [_number(4 * PANEL * number)])
                builder.store(
                    builder.load(total), builder.bitcast(place, _FLOATS.as_pointer()), align=4
                )
            return _context.get_dummy_value()

        pointer, number = types.voidptr, types.int64
        return types.void(pointer, pointer, number, pointer, number, number, pointer), emit

    return multiply


class _Tile:
    """Every row with every panel; sums and totals are kept in registers together."""

    def __init__(
        self,
        builder: Any,
        form: Form,
        *,
        weights: Sequence[Any],
        scales: Sequence[Any],
        rows: Sequence[Any],
        num_blocks: Any,
    ) -> None:
        self._builder, self._form = builder, form
        self._weights, self._scales, self._rows = weights, scales, rows
        num_in = builder.mul(num_blocks, _number(BLOCK))
        after = builder.add(num_in, builder.mul(num_blocks, _number(4)))
        self._row_scales = [address_of(builder, builder.gep(row, [num_in]), _F32) for row in rows]
        self._row_starts = [address_of(builder, builder.gep(row, [after]), _I32) for row in rows]

    def totals(self, groups: Any, blocks: Any) -> Sequence[Any]:
        """Places of the results: of the first row every panel's, then of the second."""
        builder, pairs = self._builder, self._pairs()
        totals = [cgutils.alloca_once_value(builder, splat(_FLOATS, 0.0)) for _ in pairs]
        with cgutils.for_range(builder, groups) as group:
            entries = [self._entry(scale, group.index) for scale in self._scales]
            first = builder.mul(group.index, blocks)
            with cgutils.for_range(builder, blocks) as one:
                block = builder.add(first, one.index)
                sums = self._block(block, [zero for _, zero in entries])
                for (row, panel), total, block_sum in zip(pairs, totals, sums, strict=True):
                    size = self._spread(builder.gep(self._row_scales[row], [block]))
                    factor = builder.fmul(entries[panel][0], size)
                    whole = builder.sitofp(block_sum, _FLOATS)
                    builder.store(self._fused(whole, factor, total), total)
        return totals

    def _pairs(self) -> list[tuple[int, int]]:
        return [
            (row, panel) for row in range(len(self._rows)) for panel in range(len(self._weights))
        ]

    def _entry(self, scale: Any, group: Any) -> tuple[Any, Any]:
        """Scales of a group as floats, and its zero points as integers, or None."""
        builder, form = self._builder, self._form
        at = builder.gep(scale, [builder.mul(group, _number(form.entry_bytes))])
        if form.scale_bytes == 4:
            scales = self._vector(at, _FLOATS)
        else:  # bfloat16 is the upper half of a float32
            halves = builder.zext(self._vector(at, ir.VectorType(_I16, PANEL)), _INTS)
            scales = builder.bitcast(builder.shl(halves, splat(_INTS, 16)), _FLOATS)
        if not form.has_zeros:
            return scales, None
        place = builder.gep(at, [_number(PANEL * form.scale_bytes)])
        return scales, builder.zext(self._vector(place, ir.VectorType(_I8, PANEL)), _INTS)

    def _block(self, block: Any, zeros: Sequence[Any]) -> Sequence[Any]:
        """int32 sums of one block, by row and panel."""
        builder = self._builder
        sums = [Sum(builder, self._start(row, zeros[panel], block)) for row, panel in self._pairs()]
        num_vectors = BLOCK // 4 * self._form.bits // 8
        first = builder.mul(block, _number(num_vectors * 4 * PANEL))
        begin = builder.mul(block, _number(BLOCK))
        for vector in range(num_vectors):
            offset = builder.add(first, _number(vector * 4 * PANEL))
            places = [builder.gep(weight, [offset]) for weight in self._weights]
            unsigned = [self._unpacked(self._vector(place, _BYTES)) for place in places]
            for place in places:
                fetch(builder, place, _AHEAD)
            for half in range(len(unsigned[0])):
                at = builder.add(begin, _number(4 * vector + BLOCK // 2 * half))
                numbers = [self._four(row, at) for row in self._rows]
                for (row, panel), total in zip(self._pairs(), sums, strict=True):
                    total.add(unsigned[panel][half], numbers[row])
        return [total.whole() for total in sums]

    def _start(self, row: int, zero: Any, block: Any) -> Any:
        """The value that sums start at: of every output the same, or by its zero point."""
        builder = self._builder
        start = builder.load(builder.gep(self._row_starts[row], [block]), align=4)
        starts = spread(builder, start, PANEL)
        return starts if zero is None else builder.mul(starts, zero)

    def _unpacked(self, stored: Any) -> Sequence[Any]:
        builder = self._builder
        if self._form.bits == 8:
            return [stored]
        words = builder.bitcast(stored, _INTS)
        low, mask = builder.and_(words, splat(_INTS, 0x0F0F0F0F)), splat(_INTS, 0x0F0F0F0F)
        high = builder.and_(builder.lshr(words, splat(_INTS, 4)), mask)
        return [builder.bitcast(half, _BYTES) for half in (low, high)]

    def _four(self, row: Any, at: Any) -> Any:
        """Four neighbouring numbers of a row, in every lane."""
        builder = self._builder
        place = builder.bitcast(builder.gep(row, [at]), _I32.as_pointer())
        return spread(builder, builder.load(place, align=4), PANEL)

    def _vector(self, pointer: Any, kind: Any) -> Any:
        return self._builder.load(address_of(self._builder, pointer, kind), align=1)

    def _spread(self, pointer: Any) -> Any:
        return spread(self._builder, self._builder.load(pointer, align=4), PANEL)

    def _fused(self, value: Any, factor: Any, total: Any) -> Any:
        """``value * factor`` plus what is in ``total``."""
        builder = self._builder
        kind = ir.FunctionType(_FLOATS, [_FLOATS] * 3)
        name = f"llvm.fmuladd.v{PANEL}f32"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(function, [value, factor, builder.load(total)])


def _number(value: int) -> Any:
    return ir.Constant(_I64, value)
