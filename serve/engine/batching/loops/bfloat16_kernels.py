"""The compiled loops over blocks: products where the processor has VNNI, or multiplies bfloat16.

The same products as those of ``kernels.py``; sums over integers are exact in both. The sums of four
rows with up to four outputs are kept in registers (``block_dot.py``), so that many rows of integers
are multiplied at nearly the speed of the instruction, and need no other form of the weights.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import carray

from serve.engine.batching.loops import native
from serve.engine.batching.loops.block_dot import OUT_STRIDE, ZERO, Bits, dots
from serve.engine.batching.loops.intrinsics import count_up, pointer, store_scaled
from serve.engine.batching.loops.kernels import (
    compiled,
    exact,
    kernel_of,
    narrow,
    own_sums,
    size_of,
)

_F32, _I32, _I8 = np.float32, np.int32, np.int8
_NUM_ARGUMENTS = 15
_ROWS = 4
"""In a block; fewer go one by one."""
_LINE = 4 * OUT_STRIDE
SUM_BYTES = _ROWS * _LINE
_PARTS = 8
"""Of the outputs, per thread."""
_BLOCK_BYTES = 1 << 18
"""Of rows that outputs are multiplied with in turn: they stay in a core's second cache."""

_row_bytes = exact(native.row_bytes)


def _bytes_of(bits: Bits, planes: int) -> Any:
    """``(row, factor, groups, out)``: a row in whole numbers, as ``block_dot.dots`` reads it."""
    zero, has_two, per_byte = _I32(ZERO[bits]), planes == 2, 8 // bits

    @exact
    def write(row, factor, groups, address):  # type: ignore[no-untyped-def]
        num_in = len(row)
        length = num_in // groups // per_byte
        high = carray(pointer(address), (per_byte, groups, length), dtype=np.int8)
        low = carray(
            pointer(address + (planes - 1) * num_in), (per_byte, groups, length), dtype=np.int8
        )
        starts = carray(pointer(address + planes * num_in), (planes, groups), dtype=np.int32)
        for group in range(groups):
            sum_high, sum_low = _I32(0), _I32(0)
            for odd in range(per_byte):
                part = row[group * length * per_byte + odd :]
                highs, lows = high[odd, group], low[odd, group]
                for i in range(length):
                    whole = _I32(np.rint(part[i * per_byte] * factor))
                    if has_two:
                        upper = (whole + _I32(128)) >> _I32(8)
                        rest = whole - (upper << _I32(8))
                        lows[i] = _I8(rest)
                        highs[i] = _I8(upper)
                        sum_low += rest
                        sum_high += upper
                    else:
                        highs[i] = _I8(whole)
                        sum_high += whole
            if has_two:
                starts[1, group] = -zero * sum_low
            starts[0, group] = -zero * sum_high

    return write


def _bfloats() -> Any:
    """The same of bfloat16: no whole numbers, and no factor."""

    @exact
    def write(row, _factor, _groups, address):  # type: ignore[no-untyped-def]
        out = carray(pointer(address), len(row), dtype=np.uint16)
        for i in range(len(row)):
            out[i] = narrow(row[i])

    return write


def _preparing(bits: Bits, planes: int) -> Any:
    """``(rows, first, last, levels, groups, address, stride, factors)``: rows of a range."""
    has_factor = bits != 16
    write = _bytes_of(bits, planes) if has_factor else _bfloats()

    @exact
    def prepare(rows, first, last, levels, groups, address, stride, factors):  # type: ignore[no-untyped-def]
        for row in range(first, last):
            size = size_of(rows[row]) if has_factor else levels
            factors[row] = size / levels
            write(rows[row], levels / size, groups, address + row * stride)

    return prepare


def _finishing(bits: Bits) -> Any:
    """Sums to results: times the row's factor and the output's scale, plus what is to be added."""
    has_scale = bits == 8

    @compiled
    def finish(a, factors, row, output, num_rows, num_outputs, sums_at):  # type: ignore[no-untyped-def]
        out = carray(pointer(a[10]), (a[0], a[2]), dtype=np.float32)
        scales = carray(pointer(a[7]), a[2], dtype=np.float32)
        biases = carray(pointer(a[8]), a[2], dtype=np.float32)
        if num_outputs == OUT_STRIDE:
            scale = pointer(a[7] + 4 * output if has_scale else 0)
            bias = pointer(a[8] + 4 * output if a[8] != 0 else 0)
            for r in range(num_rows):
                some, to = sums_at + r * _LINE, a[10] + 4 * ((row + r) * a[2] + output)
                store_scaled(pointer(some), factors[row + r], scale, bias, a[5], pointer(to))
            return
        sums = carray(pointer(sums_at), (num_rows, OUT_STRIDE), dtype=np.float32)
        for r in range(num_rows):
            factor = factors[row + r]
            for o in range(num_outputs):
                value = sums[r, o] * factor
                if has_scale:
                    value *= scales[output + o]
                if a[8] != 0:
                    value += biases[output + o]
                if a[5] != 0:
                    value += out[row + r, output + o]
                out[row + r, output + o] = value

    return finish


def _multiplying(bits: Bits, planes: int, width: int) -> Any:
    """A range of prepared rows times a range of outputs, scaled and written."""
    # Four of each are 16 sums in registers; two planes or unpacked halves leave room for fewer.
    wide = 4 if bits != 4 and planes == 1 else 2
    block, one = dots(bits, planes, width, _ROWS, wide), dots(bits, planes, width, 1, 1)
    finish = _finishing(bits)

    @exact
    def multiply(a, factors, rows_at, stride, first_row, last_row, first, last, sums_at):  # type: ignore[no-untyped-def]
        groups, weight_bytes = a[3], a[1] * bits // 8
        length, scale_bytes = weight_bytes // groups, 4 * groups
        for output in range(first, last, OUT_STRIDE):
            num = min(OUT_STRIDE, last - output)
            row = first_row
            while row < last_row:
                is_block = last_row - row >= _ROWS and num % wide == 0
                num_rows, step = (_ROWS, wide) if is_block else (1, 1)
                at = pointer(rows_at + row * stride)
                for o in range(0, num, step):
                    weight = pointer(a[6] + (output + o) * weight_bytes)
                    scale = pointer(a[7] + (output + o) * scale_bytes)
                    into = pointer(sums_at + 4 * o)
                    if is_block:
                        block(weight, weight_bytes, at, stride, scale, groups, length, into)
                    else:
                        one(weight, weight_bytes, at, stride, scale, groups, length, into)
                finish(a, factors, row, output, num_rows, num, sums_at)
                row += num_rows

    return multiply


@functools.cache
def product(bits: Bits, planes: int, width: int) -> native.Kernel:
    """``out = rows @ weight.T``, plus bias, plus what is in ``out`` already.

    Arguments: as of ``kernels.product``, but G is 1 unless of 4 bits, scratch is uint8 [threads, N,
    row_bytes(K)] and float32 [threads, own_sums(N)]; and two more. The first is the address of an
    int64, zero at the start, by which threads take parts of the outputs as they get to them, so
    that one that something else keeps off its core holds nobody up; or 0, and the parts are equal.
    The second is 1 where the threads make the rows' bytes together, as they do for many; then they
    wait for each other, and scratch is uint8 [N, row_bytes(K)] and float32 [threads, own_sums(N)].
    """
    pool = native.pool()
    thread_id, num_threads, barrier = pool.thread_id, pool.num_threads, pool.barrier
    prepare, multiply = _preparing(bits, planes), _multiplying(bits, planes, width)

    @kernel_of
    def kernel(address):  # type: ignore[no-untyped-def]
        a = carray(address, _NUM_ARGUMENTS, dtype=np.int64)
        num_rows, num_in, num_out, is_shared = a[0], a[1], a[2], a[14] != 0
        thread, threads = np.int64(thread_id()), np.int64(num_threads())
        stride, own = _row_bytes(num_in), 0 if is_shared else thread
        rows_at = a[11] + own * num_rows * stride
        sums_at = a[12] + 4 * thread * own_sums(num_rows)
        factors_at = a[12] + 4 * own * own_sums(num_rows) + SUM_BYTES
        factors = carray(pointer(factors_at), num_rows, dtype=np.float32)
        rows = carray(pointer(a[9]), (num_rows, num_in), dtype=np.float32)
        first, last = (thread, thread + 1) if is_shared else (0, threads)
        first, last = num_rows * first // threads, num_rows * last // threads
        prepare(rows, first, last, _F32(a[4]), a[3], rows_at, stride, factors)
        if is_shared:
            barrier()
        num_parts = threads if a[13] == 0 else _PARTS * threads
        size = -(-num_out // (num_parts * OUT_STRIDE)) * OUT_STRIDE
        step = max(_ROWS, _BLOCK_BYTES // stride // _ROWS * _ROWS)
        part = thread if a[13] == 0 else count_up(a[13])
        while part * size < num_out:
            first, last = part * size, min((part + 1) * size, num_out)
            for row in range(0, num_rows, step):
                until = min(row + step, num_rows)
                multiply(a, factors, rows_at, stride, row, until, first, last, sums_at)
            part = num_parts if a[13] == 0 else count_up(a[13])

    return kernel  # type: ignore[no-any-return]
