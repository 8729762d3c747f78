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
from serve.engine.transformers.kernels.byte_sums import PANEL
from serve.engine.transformers.kernels.float_kernels import exact, kernel_of
from serve.engine.transformers.kernels.intrinsics import count_up, float_of, pointer, store_sums
from serve.engine.transformers.kernels.panel_dot import BLOCK, Form, dots
from serve.engine.transformers.kernels.rounding import round_block

_F32, _I32 = np.float32, np.int32
_NUM_ARGUMENTS = 15
_ROWS = 4
"""In a tile; fewer go one by one."""
_PANELS = 2
"""In a tile of rows."""
_PARTS = 8
"""Of the outputs, per thread."""
_BLOCK_BYTES = 1 << 18
"""Of rows that panels are multiplied with in turn: they stay in a core's second cache."""

_row_bytes = exact(native.row_bytes)


def _row_of_bytes(zero: int) -> Any:
    """``(row, num_in, address)``: a row of float32 as ``panel_dot.py`` describes it."""
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
def _finish(a: Any, row: Any, output: Any, num_rows: Any, width: Any, sums_at: Any) -> None:
    """Add the bias, and what is in ``out`` where that is asked for, and write."""
    num_out = a[2]
    for r in range(num_rows):
        sums, to = sums_at + 4 * r * width, a[10] + 4 * ((row + r) * num_out + output)
        for part in range(0, width, PANEL):
            if output + part + PANEL <= num_out:
                bias = pointer(a[8] + 4 * (output + part) if a[8] != 0 else 0)
                at = pointer(sums + 4 * part)
                store_sums(at, bias, a[5], pointer(to + 4 * part))
                continue
            values = carray(pointer(sums + 4 * part), PANEL, dtype=np.float32)
            biases = carray(pointer(a[8]), num_out, dtype=np.float32)
            out = carray(pointer(to + 4 * part), PANEL, dtype=np.float32)
            for o in range(num_out - output - part):
                value = values[o]
                if a[8] != 0:
                    value += biases[output + part + o]
                if a[5] != 0:
                    value += out[o]
                out[o] = value


def _multiplying(form: Form) -> Any:
    """A range of rows in bytes times a range of panels."""
    one, many, last = dots(form, 1, 1), dots(form, _ROWS, _PANELS), dots(form, _ROWS, 1)
    block_bytes, group_bytes = form.block_bytes, form.entry_bytes

    @exact
    def multiply(a, rows_at, stride, first_row, last_row, first, end, sums_at):  # type: ignore[no-untyped-def]
        groups, blocks = a[3], a[4]
        weight_stride, scale_stride = groups * blocks * block_bytes, groups * group_bytes
        sums, panel = pointer(sums_at), first
        while panel < end:
            num = _PANELS if end - panel >= _PANELS and last_row - first_row >= _ROWS else 1
            weight_at, scale_at = a[6] + panel * weight_stride, a[7] + panel * scale_stride
            weight, scale = pointer(weight_at), pointer(scale_at)
            row = first_row
            while last_row - row >= _ROWS:
                at = pointer(rows_at + row * stride)
                if num == _PANELS:
                    many(weight, at, stride, scale, groups, blocks, sums)
                else:
                    last(weight, at, stride, scale, groups, blocks, sums)
                _finish(a, row, panel * PANEL, _ROWS, num * PANEL, sums_at)
                row += _ROWS
            while row < last_row:
                at = pointer(rows_at + row * stride)
                for each in range(num):
                    weight = pointer(weight_at + each * weight_stride)
                    scale = pointer(scale_at + each * scale_stride)
                    one(weight, at, stride, scale, groups, blocks, sums)
                    _finish(a, row, (panel + each) * PANEL, 1, PANEL, sums_at)
                row += 1
            panel += num

    return multiply


@functools.cache
def product(form: Form) -> native.Kernel:
    """``out = rows @ weight.T``, plus bias, plus what is in ``out`` already.

    Arguments: N, K, O; groups of a scale, and blocks of 32 inputs in one; whether to add to
    ``out``; addresses of weight and scales as ``panel_dot.py`` has them; of the bias, float32 [O],
    or 0; of rows, float32 [N, K]; out, float32 [N, O]; and of scratch, uint8
    [threads, N, row_bytes(K)] and float32 [threads, native.SUMS]; and two more. The first is the
    address of an int64, zero at the start, by which threads take parts of the panels as they get to
    them, so that one that something else keeps off its core holds nobody up; or 0, and the parts
    are equal. The second is 1 where the threads make the rows' bytes together, as they do for many;
    then they wait for each other, and scratch is uint8 [N, row_bytes(K)].
    """
    pool = native.pool()
    thread_id, num_threads, barrier = pool.thread_id, pool.num_threads, pool.barrier
    write, multiply = _row_of_bytes(form.zero), _multiplying(form)

    @kernel_of
    def kernel(address):  # type: ignore[no-untyped-def]
        a = carray(address, _NUM_ARGUMENTS, dtype=np.int64)
        num_rows, num_in, num_out, is_shared = a[0], a[1], a[2], a[14] != 0
        thread, threads = np.int64(thread_id()), np.int64(num_threads())
        stride, own = _row_bytes(num_in), 0 if is_shared else thread
        rows_at = a[11] + own * num_rows * stride
        sums_at = a[12] + 4 * native.SUMS * thread
        first, last = (thread, thread + 1) if is_shared else (0, threads)
        for row in range(num_rows * first // threads, num_rows * last // threads):
            write(a[9] + 4 * num_in * row, num_in, rows_at + row * stride)
        if is_shared:
            barrier()
        num_panels = -(-num_out // PANEL)
        num_parts = threads if a[13] == 0 else _PARTS * threads
        size = -(-num_panels // (num_parts * _PANELS)) * _PANELS
        step = max(_ROWS, _BLOCK_BYTES // stride // _ROWS * _ROWS)
        part = thread if a[13] == 0 else count_up(a[13])
        while part * size < num_panels:
            first, last = part * size, min((part + 1) * size, num_panels)
            for row in range(0, num_rows, step):
                until = min(row + step, num_rows)
                multiply(a, rows_at, stride, row, until, first, last, sums_at)
            part = num_parts if a[13] == 0 else count_up(a[13])

    return kernel  # type: ignore[no-any-return]


@functools.cache
def unpack(form: Form) -> native.Kernel:
    """``out = (weight - zero) * scale``, of whole panels.

    Arguments: K, panels, groups; addresses of weight and scales as ``panel_dot.py`` has them, and
    of out, float32 [panels * 16, K].
    """
    thread_id, num_threads = native.pool().thread_id, native.pool().num_threads
    bits, entry_bytes, has_zeros = form.bits, form.entry_bytes, form.has_zeros
    is_narrow, zero, scales_bytes = form.scale_bytes == 2, _F32(form.zero), PANEL * form.scale_bytes
    num_halves, mask = 8 // bits, _I32((1 << bits) - 1)

    @kernel_of
    def kernel(address):  # type: ignore[no-untyped-def]
        a = carray(address, _NUM_ARGUMENTS, dtype=np.int64)
        num_in, num_panels, groups = a[0], a[1], a[2]
        thread, threads = np.int64(thread_id()), np.int64(num_threads())
        num_blocks = num_in // BLOCK
        fours = BLOCK // 4 // num_halves
        weight = carray(pointer(a[3]), (num_panels, num_blocks, fours, PANEL, 4), dtype=np.uint8)
        out = carray(
            pointer(a[5]), (num_panels, PANEL, num_blocks, num_halves, fours, 4), dtype=np.float32
        )
        for panel in range(num_panels * thread // threads, num_panels * (thread + 1) // threads):
            for block in range(num_blocks):
                at = a[4] + (panel * groups + block * groups // num_blocks) * entry_bytes
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

    return kernel  # type: ignore[no-any-return]
