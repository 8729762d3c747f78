"""The compiled loop over bfloat16 weights, where the processor sums products of them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import carray

from serve.engine.transformers.kernels import native
from serve.engine.transformers.kernels.bfloat16_dot import OUT_STRIDE, dots
from serve.engine.transformers.kernels.float_kernels import compiled, exact, kernel_of, narrow
from serve.engine.transformers.kernels.intrinsics import count_up, pointer, store_sums

_NUM_ARGUMENTS = 15
_ROWS, _OUTPUTS = 4, 4
"""In a block; fewer go one by one."""
_LINE = 4 * OUT_STRIDE
_SUM_BYTES = _ROWS * _LINE
_PARTS = 8
"""Of the outputs, per thread."""

_row_bytes = exact(native.row_bytes)


@exact
def _write(row: Any, address: Any) -> None:
    out = carray(pointer(address), len(row), dtype=np.uint16)
    for i in range(len(row)):
        out[i] = narrow(row[i])


@compiled
def _finish(a, row, output, num_rows, num_outputs, sums_at):  # type: ignore[no-untyped-def]
    """Add the bias, and what is in ``out`` where that is asked for, and write."""
    out = carray(pointer(a[10]), (a[0], a[2]), dtype=np.float32)
    biases = carray(pointer(a[8]), a[2], dtype=np.float32)
    if num_outputs == OUT_STRIDE:
        bias = pointer(a[8] + 4 * output if a[8] != 0 else 0)
        for r in range(num_rows):
            to = a[10] + 4 * ((row + r) * a[2] + output)
            store_sums(pointer(sums_at + r * _LINE), bias, a[5], pointer(to))
        return
    sums = carray(pointer(sums_at), (num_rows, OUT_STRIDE), dtype=np.float32)
    for r in range(num_rows):
        for o in range(num_outputs):
            value = sums[r, o]
            if a[8] != 0:
                value += biases[output + o]
            if a[5] != 0:
                value += out[row + r, output + o]
            out[row + r, output + o] = value


def _multiplying(width: int) -> Any:
    """All prepared rows times a range of outputs."""
    block, one = dots(width, _ROWS, _OUTPUTS), dots(width, 1, 1)

    @exact
    def multiply(a, rows_at, stride, first, last, sums_at):  # type: ignore[no-untyped-def]
        length = 2 * a[1]
        for output in range(first, last, OUT_STRIDE):
            num = min(OUT_STRIDE, last - output)
            row = 0
            while row < a[0]:
                is_block = a[0] - row >= _ROWS and num % _OUTPUTS == 0
                num_rows, step = (_ROWS, _OUTPUTS) if is_block else (1, 1)
                at = pointer(rows_at + row * stride)
                for o in range(0, num, step):
                    weight, into = pointer(a[6] + (output + o) * length), pointer(sums_at + 4 * o)
                    if is_block:
                        block(weight, length, at, stride, length, into)
                    else:
                        one(weight, length, at, stride, length, into)
                _finish(a, row, output, num_rows, num, sums_at)
                row += num_rows

    return multiply


@functools.cache
def product(width: int) -> native.Kernel:
    """``out = rows @ weight.T``, plus bias, plus what is in ``out`` already.

    Arguments: as of ``kernels.product``, but scratch is uint8 [threads, N, row_bytes(K)] and
    float32 [threads, SUMS]; and one more, the address of an int64, zero at the start, by which
    threads take parts of the outputs as they get to them, so that one that something else keeps off
    its core holds nobody up; or 0, and the parts are equal.
    """
    pool = native.pool()
    thread_id, num_threads = pool.thread_id, pool.num_threads
    multiply = _multiplying(width)

    @kernel_of
    def kernel(address):  # type: ignore[no-untyped-def]
        a = carray(address, _NUM_ARGUMENTS, dtype=np.int64)
        num_rows, num_in, num_out = a[0], a[1], a[2]
        thread, threads = np.int64(thread_id()), np.int64(num_threads())
        stride = _row_bytes(num_in)
        rows_at = a[11] + thread * num_rows * stride
        sums_at = a[12] + 4 * native.SUMS * thread
        rows = carray(pointer(a[9]), (num_rows, num_in), dtype=np.float32)
        for row in range(num_rows):
            _write(rows[row], rows_at + row * stride)
        num_parts = threads if a[13] == 0 else _PARTS * threads
        size = -(-num_out // (num_parts * OUT_STRIDE)) * OUT_STRIDE
        part = thread if a[13] == 0 else count_up(a[13])
        while part * size < num_out:
            multiply(a, rows_at, stride, part * size, min((part + 1) * size, num_out), sums_at)
            part = num_parts if a[13] == 0 else count_up(a[13])

    return kernel  # type: ignore[no-any-return]
