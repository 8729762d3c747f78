"""The compiled loop over bfloat16 weights, where the processor sums products of them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import carray

from serve.engine.transformers.kernels import native
from serve.engine.transformers.kernels.arguments import ProductArguments, slots
from serve.engine.transformers.kernels.bfloat16_dot import OUT_STRIDE, dots
from serve.engine.transformers.kernels.compiling import compiled, exact, kernel_of
from serve.engine.transformers.kernels.float_kernels import narrow
from serve.engine.transformers.kernels.intrinsics import count_up, pointer, store_sums
from serve.engine.transformers.kernels.native import Kernel
from serve.engine.transformers.kernels.threads import num_threads, thread_id

_SLOT = slots(ProductArguments)
_ROWS, _OUTPUTS = 4, 4
"""Rows and outputs in a block; fewer go one by one."""
_LINE = 4 * OUT_STRIDE
"""Bytes of one row's sums."""
_PARTS = 8
"""Parts of the outputs, per thread."""

_row_bytes = exact(native.row_bytes)


@exact
def _write(row: Any, address: Any) -> None:
    out = carray(pointer(address), len(row), dtype=np.uint16)
    for i in range(len(row)):
        out[i] = narrow(row[i])


@compiled
def _finish(arguments, row, output, num_rows, num_outputs, sums_at):  # type: ignore[no-untyped-def]
    """Add the bias, and what is in ``out`` where that is asked for, and write."""
    num_out = arguments[_SLOT.num_out]
    shape = (arguments[_SLOT.num_rows], num_out)
    out = carray(pointer(arguments[_SLOT.out]), shape, dtype=np.float32)
    biases = carray(pointer(arguments[_SLOT.bias]), num_out, dtype=np.float32)
    if num_outputs == OUT_STRIDE:
        bias = pointer(arguments[_SLOT.bias] + 4 * output if arguments[_SLOT.bias] != 0 else 0)
        for r in range(num_rows):
            to = arguments[_SLOT.out] + 4 * ((row + r) * num_out + output)
            store_sums(pointer(sums_at + r * _LINE), bias, arguments[_SLOT.adds], pointer(to))
        return
    sums = carray(pointer(sums_at), (num_rows, OUT_STRIDE), dtype=np.float32)
    for r in range(num_rows):
        for o in range(num_outputs):
            value = sums[r, o]
            if arguments[_SLOT.bias] != 0:
                value += biases[output + o]
            if arguments[_SLOT.adds] != 0:
                value += out[row + r, output + o]
            out[row + r, output + o] = value


def _multiplying(width: int) -> Any:
    """Multiply all prepared rows with the weights of a range of outputs."""
    block, one = dots(width, _ROWS, _OUTPUTS), dots(width, 1, 1)

    @exact
    def multiply(arguments, rows_at, stride, first, last, sums_at):  # type: ignore[no-untyped-def]
        all_rows, weight_at = arguments[_SLOT.num_rows], arguments[_SLOT.weight]
        length = 2 * arguments[_SLOT.num_in]
        for output in range(first, last, OUT_STRIDE):
            num = min(OUT_STRIDE, last - output)
            row = 0
            while row < all_rows:
                is_block = all_rows - row >= _ROWS and num % _OUTPUTS == 0
                num_rows, step = (_ROWS, _OUTPUTS) if is_block else (1, 1)
                at = pointer(rows_at + row * stride)
                for o in range(0, num, step):
                    weight = pointer(weight_at + (output + o) * length)
                    into = pointer(sums_at + 4 * o)
                    if is_block:
                        block(weight, length, at, stride, length, into)
                    else:
                        one(weight, length, at, stride, length, into)
                _finish(arguments, row, output, num_rows, num, sums_at)
                row += num_rows

    return multiply


@functools.cache
def product(width: int) -> Kernel:
    """``out = rows @ weight.T``, plus bias, plus what is in ``out`` already.

    Of ``ProductArguments`` it does not read groups and blocks, scale and is_shared: each thread
    prepares all rows for itself.

    Args:
        width: bytes in a vector, ``processor.width_for`` a row.
    """
    multiply = _multiplying(width)

    @kernel_of(ProductArguments)
    def kernel(address):  # type: ignore[no-untyped-def]
        arguments = carray(address, len(_SLOT), dtype=np.int64)
        num_rows, num_in = arguments[_SLOT.num_rows], arguments[_SLOT.num_in]
        num_out, counter = arguments[_SLOT.num_out], arguments[_SLOT.counter]
        thread, threads = np.int64(thread_id()), np.int64(num_threads())
        stride = _row_bytes(num_in)
        rows_at = arguments[_SLOT.prepared] + thread * num_rows * stride
        sums_at = arguments[_SLOT.sums] + 4 * native.SUMS * thread
        rows = carray(pointer(arguments[_SLOT.rows]), (num_rows, num_in), dtype=np.float32)
        for row in range(num_rows):
            _write(rows[row], rows_at + row * stride)
        num_parts = threads if counter == 0 else _PARTS * threads
        size = -(-num_out // (num_parts * OUT_STRIDE)) * OUT_STRIDE
        part = thread if counter == 0 else count_up(counter)
        while part * size < num_out:
            last = min((part + 1) * size, num_out)
            multiply(arguments, rows_at, stride, part * size, last, sums_at)
            part = num_parts if counter == 0 else count_up(counter)

    return kernel
