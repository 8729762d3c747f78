"""The compiled loops: products of a few rows with 8-bit and 4-bit weights, and unpacking.

::

    x = m/levels · q     a row of activations as 16-bit integers, m its largest |x|: 127 levels are
                         W8A8's own, 32,767 leave x off by at most m/65,534
    y = m/levels · s · (q @ w)      weights read once, as they lie on disk

Each kernel works on the outputs that are its thread's share, and makes the rows' integers itself:
for a few rows that is cheaper than to wait for another thread. Importing this module compiles
nothing; a kernel is compiled when it is first asked for, in a second or so. Only ``native.run``
calls them.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import carray, cfunc, njit, types

from serve.engine.batching import native
from serve.engine.batching.vector_dot import dot_int4, dot_int8, pointer

_F32, _I32, _I16 = np.float32, np.int32, np.int16
_LOW, _HIGH, _OFFSET = np.int32(15), np.int32(4), np.int32(8)
_TINY = np.float32(1e-10)
_NUM_ARGUMENTS = 11
"""More than any kernel has; those that are not given are not read."""
_FREE = {"reassoc", "contract", "nsz"}
"""What LLVM may do with floats: reorder sums and fuse. NaN and infinity stay what they are."""

_compiled = njit(fastmath=_FREE, error_model="numpy", boundscheck=False)
_exact = njit(error_model="numpy", boundscheck=False)
_kernel = cfunc(types.void(types.voidptr), error_model="numpy")


@_compiled
def _size(row: Any) -> Any:
    """The largest absolute value; NaN where a value is not finite."""
    largest, poison = _F32(0), _F32(0)
    for i in range(len(row)):
        value = abs(row[i])
        largest = max(largest, value)
        poison += value * _F32(0)
    return max(largest, _TINY) + poison


@_exact
def _whole(row: Any, levels: Any, out: Any) -> Any:
    """``row`` in whole levels of its size; returns what they are to be multiplied by."""
    size = _size(row)
    factor = levels / size
    for i in range(len(row)):
        out[i] = _I16(np.rint(row[i] * factor))
    return size / levels


@_exact
def _whole_apart(row: Any, levels: Any, even: Any, odd: Any) -> Any:
    """The same, even and odd inputs apart."""
    size = _size(row)
    factor = levels / size
    for i in range(len(even)):
        even[i] = _I16(np.rint(row[2 * i] * factor))
        odd[i] = _I16(np.rint(row[2 * i + 1] * factor))
    return size / levels


@functools.cache
def int8_product() -> native.Kernel:
    """``out = rows @ weight.T * scale``.

    Arguments: N, K, O, G and the levels; weight int8 [O, K], scale float32 [O], rows float32 [N,
    K], out float32 [N, O], scratch int16 [threads, N, K] and float32 [threads, N]. G divides K into
    groups, multiples of 16 of at most 256.
    """
    thread_id, num_threads = native.pool().thread_id, native.pool().num_threads

    @_kernel
    def kernel(address):  # type: ignore[no-untyped-def]
        a = carray(address, _NUM_ARGUMENTS, dtype=np.int64)
        num_rows, num_in, num_out, groups = a[0], a[1], a[2], a[3]
        thread, threads = np.int64(thread_id()), np.int64(num_threads())
        scale = carray(pointer(a[6]), num_out, dtype=np.float32)
        rows = carray(pointer(a[7]), (num_rows, num_in), dtype=np.float32)
        out = carray(pointer(a[8]), (num_rows, num_out), dtype=np.float32)
        whole_at = a[9] + 2 * thread * num_rows * num_in
        whole = carray(pointer(whole_at), (num_rows, num_in), dtype=np.int16)
        factor = carray(pointer(a[10]), (threads, num_rows), dtype=np.float32)[thread]
        for row in range(num_rows):
            factor[row] = _whole(rows[row], _F32(a[4]), whole[row])
        for output in range(num_out * thread // threads, num_out * (thread + 1) // threads):
            weight = pointer(a[5] + output * num_in)
            for row in range(num_rows):
                row_at = pointer(whole_at + 2 * row * num_in)
                dot = dot_int8(weight, row_at, groups, num_in // groups)
                out[row, output] = dot * scale[output] * factor[row]

    return kernel  # type: ignore[no-any-return]


@functools.cache
def int4_product() -> native.Kernel:
    """``out = rows @ ((weight - 8) * scale).T``, a scale for each of G groups of inputs.

    Arguments: N, K, O, G and the levels; weight uint8 [O, K/2], low bits the even input; scale
    float32 [O, G]; rows float32 [N, K], out float32 [N, O], scratch int16 [threads, N, K] and
    float32 [threads, N]. A group is a multiple of 32 inputs.
    """
    thread_id, num_threads = native.pool().thread_id, native.pool().num_threads

    @_kernel
    def kernel(address):  # type: ignore[no-untyped-def]
        a = carray(address, _NUM_ARGUMENTS, dtype=np.int64)
        num_rows, num_in, num_out, groups = a[0], a[1], a[2], a[3]
        half = num_in // 2
        thread, threads = np.int64(thread_id()), np.int64(num_threads())
        rows = carray(pointer(a[7]), (num_rows, num_in), dtype=np.float32)
        out = carray(pointer(a[8]), (num_rows, num_out), dtype=np.float32)
        whole_at = a[9] + 2 * thread * num_rows * num_in
        whole = carray(pointer(whole_at), (num_rows, 2, half), dtype=np.int16)
        factor = carray(pointer(a[10]), (threads, num_rows), dtype=np.float32)[thread]
        for row in range(num_rows):
            factor[row] = _whole_apart(rows[row], _F32(a[4]), whole[row, 0], whole[row, 1])
        for output in range(num_out * thread // threads, num_out * (thread + 1) // threads):
            weight = pointer(a[5] + output * half)
            scale = pointer(a[6] + 4 * output * groups)
            for row in range(num_rows):
                even_at = whole_at + 2 * row * num_in
                even, odd = pointer(even_at), pointer(even_at + 2 * half)
                dot = dot_int4(weight, even, odd, scale, groups, half // groups)
                out[row, output] = dot * factor[row]

    return kernel  # type: ignore[no-any-return]


@functools.cache
def int4_unpack() -> native.Kernel:
    """``out = (weight - 8) * scale``.

    Arguments: K, O, G; weight uint8 [O, K/2], scale float32 [O, G], out float32 [O, K].
    """
    thread_id, num_threads = native.pool().thread_id, native.pool().num_threads

    @_kernel
    def kernel(address):  # type: ignore[no-untyped-def]
        a = carray(address, _NUM_ARGUMENTS, dtype=np.int64)
        num_in, num_out, groups = a[0], a[1], a[2]
        half = num_in // groups // 2
        thread, threads = np.int64(thread_id()), np.int64(num_threads())
        weight = carray(pointer(a[3]), (num_out, groups, half), dtype=np.uint8)
        scale = carray(pointer(a[4]), (num_out, groups), dtype=np.float32)
        out = carray(pointer(a[5]), (num_out, groups, half, 2), dtype=np.float32)
        for output in range(num_out * thread // threads, num_out * (thread + 1) // threads):
            for group in range(groups):
                packed, unpacked = weight[output, group], out[output, group]
                factor = scale[output, group]
                for i in range(half):
                    pair = _I32(packed[i])
                    unpacked[i, 0] = _F32((pair & _LOW) - _OFFSET) * factor
                    unpacked[i, 1] = _F32((pair >> _HIGH) - _OFFSET) * factor

    return kernel  # type: ignore[no-any-return]
