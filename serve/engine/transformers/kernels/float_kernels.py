"""The compiled loops over floats: products of a few rows with weights as they lie on disk.

Each kernel works on the outputs that are its thread's share. Importing this module compiles
nothing; a kernel is compiled when it is first asked for, in a second or so. ``native.py`` calls
them.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import carray

from serve.engine.transformers.kernels import native
from serve.engine.transformers.kernels.arguments import ProductArguments, slots
from serve.engine.transformers.kernels.compiling import exact, kernel_of
from serve.engine.transformers.kernels.intrinsics import bits_of, pointer
from serve.engine.transformers.kernels.layout import FloatKind
from serve.engine.transformers.kernels.native import Kernel
from serve.engine.transformers.kernels.threads import num_threads, thread_id
from serve.engine.transformers.kernels.vector_dot import dots

_U16, _I32 = np.uint16, np.int32
_SLOT = slots(ProductArguments)
_ROWS = 4
"""Rows in a block; the last ones go in twos and ones."""
_TILE_BYTES = 1 << 17
"""Bytes of weights that all rows are multiplied with before the next ones are read."""


@exact
def narrow(number: Any) -> Any:
    """The bits of the nearest bfloat16, of two the even one."""
    bits = bits_of(number)
    if number != number:  # noqa: PLR0124 - true of NaN alone
        return _U16(0x7FC0)
    return _U16(((bits + _I32(0x7FFF) + ((bits >> _I32(16)) & _I32(1))) >> _I32(16)) & _I32(0xFFFF))


def _dots_of_some(kind: FloatKind) -> Any:
    """Multiply one row of weights with ``num`` rows: 1, 2 or 4."""
    one, two, four = (dots(kind, num) for num in (1, 2, 4))

    @exact
    def multiply(weight, rows, stride, length, sums, num):  # type: ignore[no-untyped-def]
        if num == 4:
            four(weight, rows, stride, length, sums)
        elif num == 2:
            two(weight, rows, stride, length, sums)
        else:
            one(weight, rows, stride, length, sums)

    return multiply


@functools.cache
def product(kind: FloatKind) -> Kernel:
    """``out = rows @ weight.T``, plus bias, plus what is in ``out`` already.

    Of ``ProductArguments`` it does not read groups and blocks, scale, prepared, counter and
    is_shared. Four rows at a time, which stay in a core's first cache, are multiplied with the
    weights of a tile of outputs, which stay in its second one.
    """
    multiply = _dots_of_some(kind)
    weight_bytes = {"bfloat16": 2, "float32": 4}[kind]

    @kernel_of(ProductArguments)
    def kernel(address):  # type: ignore[no-untyped-def]
        arguments = carray(address, len(_SLOT), dtype=np.int64)
        num_rows, num_in = arguments[_SLOT.num_rows], arguments[_SLOT.num_in]
        num_out, adds = arguments[_SLOT.num_out], arguments[_SLOT.adds]
        weight_at, bias_at = arguments[_SLOT.weight], arguments[_SLOT.bias]
        thread, threads = np.int64(thread_id()), np.int64(num_threads())
        biases = carray(pointer(bias_at), num_out, dtype=np.float32)
        out = carray(pointer(arguments[_SLOT.out]), (num_rows, num_out), dtype=np.float32)
        sums_at = pointer(arguments[_SLOT.sums] + 4 * native.SUMS * thread)
        sums = carray(sums_at, _ROWS, dtype=np.float32)
        stride = 4 * num_in
        first, last = num_out * thread // threads, num_out * (thread + 1) // threads
        tile = max(1, _TILE_BYTES // (num_in * weight_bytes))
        for start in range(first, last, tile):
            row = 0
            while row < num_rows:
                left = num_rows - row
                num = _ROWS if left >= _ROWS else 2 if left >= 2 else 1
                rows_at = pointer(arguments[_SLOT.rows] + row * stride)
                for output in range(start, min(start + tile, last)):
                    weight = pointer(weight_at + output * num_in * weight_bytes)
                    multiply(weight, rows_at, stride, num_in, sums_at, num)
                    for r in range(num):
                        value = sums[r]
                        if bias_at != 0:
                            value += biases[output]
                        if adds != 0:
                            value += out[row + r, output]
                        out[row + r, output] = value
                row += num

    return kernel
