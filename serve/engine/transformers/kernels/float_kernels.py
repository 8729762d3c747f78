"""The compiled loops over floats: products of a few rows with weights as they lie on disk.

Each kernel works on the outputs that are its thread's share. Importing this module compiles
nothing; a kernel is compiled when it is first asked for, in a second or so. Only ``native.run``
calls them.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import carray, cfunc, njit, types

from serve.engine.transformers.kernels import native
from serve.engine.transformers.kernels.intrinsics import bits_of, pointer
from serve.engine.transformers.kernels.vector_dot import Kind, dots

_U16, _I32 = np.uint16, np.int32
_NUM_ARGUMENTS = 15
"""More than any kernel has; those that are not given are not read."""
_FREE = {"reassoc", "contract", "nsz"}
"""What LLVM may do with floats: reorder sums and fuse. NaN and infinity stay what they are."""

compiled = njit(fastmath=_FREE, error_model="numpy", boundscheck=False)
exact = njit(error_model="numpy", boundscheck=False)
kernel_of = cfunc(types.void(types.voidptr), error_model="numpy")


@exact
def narrow(number: Any) -> Any:
    """The bits of the nearest bfloat16, of two the even one."""
    bits = bits_of(number)
    if number != number:  # noqa: PLR0124 - so NaN is told
        return _U16(0x7FC0)
    return _U16(((bits + _I32(0x7FFF) + ((bits >> _I32(16)) & _I32(1))) >> _I32(16)) & _I32(0xFFFF))


def _dots_of_all(kind: Kind) -> Any:
    """``dots`` of any number of rows; for each four the weights come from the first cache again."""
    one, two, four = (dots(kind, num) for num in (1, 2, 4))

    @exact
    def multiply(weight, rows_at, stride, length, sums_at, num_rows):  # type: ignore[no-untyped-def]
        row = 0
        while num_rows - row >= 4:
            four(
                weight, pointer(rows_at + row * stride), stride, length, pointer(sums_at + 4 * row)
            )
            row += 4
        if num_rows - row >= 2:
            two(weight, pointer(rows_at + row * stride), stride, length, pointer(sums_at + 4 * row))
            row += 2
        if row < num_rows:
            one(weight, pointer(rows_at + row * stride), stride, length, pointer(sums_at + 4 * row))

    return multiply


@functools.cache
def product(kind: Kind) -> native.Kernel:
    """``out = rows @ weight.T``, plus bias, plus what is in ``out`` already.

    Arguments: N, K, O; two that are not read; whether to add to ``out``; addresses of the weight
    [O, K]; one that is not read; of the bias, float32 [O], or 0; of rows, float32 [N, K]; out,
    float32 [N, O]; one that is not read; and of scratch, float32 [threads, native.SUMS].
    """
    thread_id, num_threads = native.pool().thread_id, native.pool().num_threads
    multiply = _dots_of_all(kind)
    weight_bytes = {"bfloat16": 2, "float32": 4}[kind]

    @kernel_of
    def kernel(address):  # type: ignore[no-untyped-def]
        a = carray(address, _NUM_ARGUMENTS, dtype=np.int64)
        num_rows, num_in, num_out = a[0], a[1], a[2]
        thread, threads = np.int64(thread_id()), np.int64(num_threads())
        biases = carray(pointer(a[8]), num_out, dtype=np.float32)
        out = carray(pointer(a[10]), (num_rows, num_out), dtype=np.float32)
        sums_at = a[12] + 4 * native.SUMS * thread
        sums = carray(pointer(sums_at), num_rows, dtype=np.float32)
        for output in range(num_out * thread // threads, num_out * (thread + 1) // threads):
            weight = pointer(a[6] + output * num_in * weight_bytes)
            multiply(weight, a[9], 4 * num_in, num_in, sums_at, num_rows)
            for row in range(num_rows):
                value = sums[row]
                if a[8] != 0:
                    value += biases[output]
                if a[5] != 0:
                    value += out[row, output]
                out[row, output] = value

    return kernel  # type: ignore[no-any-return]
