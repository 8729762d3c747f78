"""The compiled loop over panels of stored weights (``panel_dot.py``), for few rows and for many.

Rows become bytes in blocks of 32, each with a scale of its own; then panels are multiplied, four
rows at a time, so that many rows run at nearly the speed of the instruction and need no other form
of the weights.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import carray

from serve.engine.transformers.kernels import native
from serve.engine.transformers.kernels.arguments import ProductArguments, UnpackArguments, slots
from serve.engine.transformers.kernels.compiling import exact, kernel_of
from serve.engine.transformers.kernels.intrinsics import count_up, float_of, pointer, store_sums
from serve.engine.transformers.kernels.layout import BLOCK, PANEL, Form
from serve.engine.transformers.kernels.native import Kernel
from serve.engine.transformers.kernels.panel_dot import dots
from serve.engine.transformers.kernels.rounding import round_block
from serve.engine.transformers.kernels.threads import barrier, num_threads, thread_id

_F32, _I32 = np.float32, np.int32
_SLOT, _UNPACK = slots(ProductArguments), slots(UnpackArguments)
_ROWS = 4
"""Rows in a tile; fewer go one by one."""
_PANELS = 2
"""Panels in a tile of rows."""
_PARTS = 8
"""Parts of the outputs, per thread."""
_BLOCK_BYTES = 1 << 18
"""Bytes of the rows that panels are multiplied with in turn: they stay in a core's second cache."""

_row_bytes = exact(native.row_bytes)


def _row_of_bytes(zero: int) -> Any:
    """Write a row of float32 as ``panel_dot.py`` describes it, ``(row_at, num_in, address)``."""
    factor = _I32(-zero)

    @exact
    def write(row_at, num_in, address):  # type: ignore[no-untyped-def]
        num_blocks = num_in // BLOCK
        starts = carray(pointer(address + num_in + 4 * num_blocks), num_blocks, dtype=np.int32)
        for number in range(num_blocks):
            block = row_at + 4 * BLOCK * number
            bytes_at, scale_at = address + BLOCK * number, address + num_in + 4 * number
            total = round_block(pointer(block), pointer(bytes_at), pointer(scale_at))
            starts[number] = total * factor

    return write


@exact
def _finish(arguments: Any, row: Any, output: Any, num_rows: Any, width: Any, sums_at: Any) -> None:
    """Add the bias, and what is in ``out`` where that is asked for, and write."""
    num_out = arguments[_SLOT.num_out]
    for r in range(num_rows):
        sums = sums_at + 4 * r * width
        to = arguments[_SLOT.out] + 4 * ((row + r) * num_out + output)
        for part in range(0, width, PANEL):
            if output + part + PANEL <= num_out:
                first = 4 * (output + part)
                bias = arguments[_SLOT.bias] + first if arguments[_SLOT.bias] != 0 else 0
                at, into = pointer(sums + 4 * part), pointer(to + 4 * part)
                store_sums(at, pointer(bias), arguments[_SLOT.adds], into)
                continue
            values = carray(pointer(sums + 4 * part), PANEL, dtype=np.float32)
            biases = carray(pointer(arguments[_SLOT.bias]), num_out, dtype=np.float32)
            out = carray(pointer(to + 4 * part), PANEL, dtype=np.float32)
            for o in range(num_out - output - part):
                value = values[o]
                if arguments[_SLOT.bias] != 0:
                    value += biases[output + part + o]
                if arguments[_SLOT.adds] != 0:
                    value += out[o]
                out[o] = value


def _multiplying(form: Form) -> Any:
    """Multiply a range of prepared rows with a range of panels."""
    one, many, last = dots(form, 1, 1), dots(form, _ROWS, _PANELS), dots(form, _ROWS, 1)
    block_bytes, group_bytes = form.block_bytes, form.entry_bytes

    @exact
    def multiply(arguments, rows_at, stride, first_row, last_row, first, end, sums_at):  # type: ignore[no-untyped-def]
        groups, blocks = arguments[_SLOT.groups], arguments[_SLOT.blocks]
        all_weights, all_scales = arguments[_SLOT.weight], arguments[_SLOT.scale]
        weight_stride, scale_stride = groups * blocks * block_bytes, groups * group_bytes
        sums, panel = pointer(sums_at), first
        while panel < end:
            num = _PANELS if end - panel >= _PANELS and last_row - first_row >= _ROWS else 1
            weight_at = all_weights + panel * weight_stride
            scale_at = all_scales + panel * scale_stride
            weight, scale = pointer(weight_at), pointer(scale_at)
            row = first_row
            while last_row - row >= _ROWS:
                at = pointer(rows_at + row * stride)
                if num == _PANELS:
                    many(weight, at, stride, scale, groups, blocks, sums)
                else:
                    last(weight, at, stride, scale, groups, blocks, sums)
                _finish(arguments, row, panel * PANEL, _ROWS, num * PANEL, sums_at)
                row += _ROWS
            while row < last_row:
                at = pointer(rows_at + row * stride)
                for offset in range(num):
                    weight = pointer(weight_at + offset * weight_stride)
                    scale = pointer(scale_at + offset * scale_stride)
                    one(weight, at, stride, scale, groups, blocks, sums)
                    _finish(arguments, row, (panel + offset) * PANEL, 1, PANEL, sums_at)
                row += 1
            panel += num

    return multiply


@functools.cache
def product(form: Form) -> Kernel:
    """``out = rows @ weight.T``, plus bias, plus what is in ``out`` already.

    It reads all of ``ProductArguments``; threads take their parts of whole panels.
    """
    write, multiply = _row_of_bytes(form.zero), _multiplying(form)

    @kernel_of(ProductArguments)
    def kernel(address):  # type: ignore[no-untyped-def]
        arguments = carray(address, len(_SLOT), dtype=np.int64)
        num_rows, num_in = arguments[_SLOT.num_rows], arguments[_SLOT.num_in]
        num_out, counter = arguments[_SLOT.num_out], arguments[_SLOT.counter]
        is_shared = arguments[_SLOT.is_shared] != 0
        thread, threads = np.int64(thread_id()), np.int64(num_threads())
        stride, own = _row_bytes(num_in), 0 if is_shared else thread
        rows_at = arguments[_SLOT.prepared] + own * num_rows * stride
        sums_at = arguments[_SLOT.sums] + 4 * native.SUMS * thread
        first, last = (thread, thread + 1) if is_shared else (0, threads)
        for row in range(num_rows * first // threads, num_rows * last // threads):
            write(arguments[_SLOT.rows] + 4 * num_in * row, num_in, rows_at + row * stride)
        if is_shared:
            barrier()
        num_panels = -(-num_out // PANEL)
        num_parts = threads if counter == 0 else _PARTS * threads
        size = -(-num_panels // (num_parts * _PANELS)) * _PANELS
        step = max(_ROWS, _BLOCK_BYTES // stride // _ROWS * _ROWS)
        part = thread if counter == 0 else count_up(counter)
        while part * size < num_panels:
            first, last = part * size, min((part + 1) * size, num_panels)
            for row in range(0, num_rows, step):
                until = min(row + step, num_rows)
                multiply(arguments, rows_at, stride, row, until, first, last, sums_at)
            part = num_parts if counter == 0 else count_up(counter)

    return kernel


@functools.cache
def unpack(form: Form) -> Kernel:
    """``out = (weight - zero) * scale``, of whole panels.

    It reads ``UnpackArguments``.
    """
    bits, entry_bytes, has_zeros = form.bits, form.entry_bytes, form.has_zeros
    is_narrow, zero, scales_bytes = form.scale_bytes == 2, _F32(form.zero), PANEL * form.scale_bytes
    num_halves, mask = 8 // bits, _I32((1 << bits) - 1)

    @kernel_of(UnpackArguments)
    def kernel(address):  # type: ignore[no-untyped-def]
        arguments = carray(address, len(_UNPACK), dtype=np.int64)
        num_in, num_panels = arguments[_UNPACK.num_in], arguments[_UNPACK.num_panels]
        groups, scale_at = arguments[_UNPACK.groups], arguments[_UNPACK.scale]
        thread, threads = np.int64(thread_id()), np.int64(num_threads())
        num_blocks = num_in // BLOCK
        fours = BLOCK // 4 // num_halves
        stored_shape = (num_panels, num_blocks, fours, PANEL, 4)
        shape = (num_panels, PANEL, num_blocks, num_halves, fours, 4)
        weight = carray(pointer(arguments[_UNPACK.weight]), stored_shape, dtype=np.uint8)
        out = carray(pointer(arguments[_UNPACK.out]), shape, dtype=np.float32)
        for panel in range(num_panels * thread // threads, num_panels * (thread + 1) // threads):
            for block in range(num_blocks):
                at = scale_at + (panel * groups + block * groups // num_blocks) * entry_bytes
                narrow = carray(pointer(at), PANEL, dtype=np.uint16)
                wide = carray(pointer(at), PANEL, dtype=np.float32)
                zeros = carray(pointer(at + scales_bytes), PANEL, dtype=np.uint8)
                for o in range(PANEL):
                    scale = float_of(_I32(narrow[o]) << _I32(16)) if is_narrow else wide[o]
                    less = _F32(zeros[o]) if has_zeros else zero
                    for half in range(num_halves):
                        for four in range(fours):
                            for i in range(4):
                                stored = (
                                    _I32(weight[panel, block, four, o, i]) >> (bits * half)
                                ) & mask
                                out[panel, o, block, half, four, i] = (_F32(stored) - less) * scale

    return kernel
