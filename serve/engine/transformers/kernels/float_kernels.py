"""The compiled loops over floats: products of a few rows with weights as they lie on disk.

Each kernel works on the outputs that are its thread's share. Importing this module compiles
nothing; a kernel is compiled when it is first asked for, in a second or so. ``native.py`` calls
them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import carray, cfunc, njit, types

from serve.engine.transformers.kernels import native
from serve.engine.transformers.kernels.arguments import ProductArguments, slots
from serve.engine.transformers.kernels.intrinsics import bits_of, pointer
from serve.engine.transformers.kernels.layout import FloatKind
from serve.engine.transformers.kernels.native import Kernel
from serve.engine.transformers.kernels.vector_dot import dots

_U16, _I32 = np.uint16, np.int32
_SLOT = slots(ProductArguments)
_FREE = {"reassoc", "contract", "nsz"}
"""Freedom that LLVM has with floats: reorder sums and fuse. NaN and infinity stay what they are."""

compiled = njit(fastmath=_FREE, error_model="numpy", boundscheck=False)
exact = njit(error_model="numpy", boundscheck=False)


def kernel_of(takes: type[tuple[int, ...]]) -> Callable[[Callable[[Any], None]], Kernel]:
    """Compile a function of the address of such arguments."""
    compile_code = cfunc(types.void(types.voidptr), error_model="numpy")
    return lambda function: Kernel(compile_code(function), takes)


@exact
def narrow(number: Any) -> Any:
    """The bits of the nearest bfloat16, of two the even one."""
    bits = bits_of(number)
    if number != number:  # noqa: PLR0124 - true of NaN alone
        return _U16(0x7FC0)
    return _U16(((bits + _I32(0x7FFF) + ((bits >> _I32(16)) & _I32(1))) >> _I32(16)) & _I32(0xFFFF))


def _dots_of_all(kind: FloatKind) -> Any:
    """Multiply any number of rows; for each four the weights come from the first cache again."""
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
def product(kind: FloatKind) -> Kernel:
    """``out = rows @ weight.T``, plus bias, plus what is in ``out`` already.

    Of ``ProductArguments`` it does not read groups and blocks, scale, prepared, counter and
    is_shared. N is ``native.SUMS`` at most.
    """
    thread_id, num_threads = native.pool().thread_id, native.pool().num_threads
    multiply = _dots_of_all(kind)
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
        sums_at = arguments[_SLOT.sums] + 4 * native.SUMS * thread
        sums = carray(pointer(sums_at), num_rows, dtype=np.float32)
        for output in range(num_out * thread // threads, num_out * (thread + 1) // threads):
            weight = pointer(weight_at + output * num_in * weight_bytes)
            multiply(weight, arguments[_SLOT.rows], 4 * num_in, num_in, sums_at, num_rows)
            for row in range(num_rows):
                value = sums[row]
                if bias_at != 0:
                    value += biases[output]
                if adds != 0:
                    value += out[row, output]
                out[row, output] = value

    return kernel
