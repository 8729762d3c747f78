"""The compiled loops: products of a few rows with 8-bit and 4-bit weights, and unpacking of 4-bit
ones.

Each is a plain loop over the outputs that are this thread's share, written so that LLVM vectorises
the inner one: sums may be reordered, inner loops run over whole one-dimensional views, and every
constant has the type of what it meets, since an int64 among them would cost the vectors. Weights
are read once, in the order in which they lie on disk, whatever the number of rows.

Importing this module compiles nothing; a kernel is compiled when it is first asked for, which takes
a second or two. Only ``native.run`` calls them.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import carray, cfunc, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from serve.engine.batching import native

_F32, _I32 = np.float32, np.int32
_LOW, _HIGH, _OFFSET = np.int32(15), np.int32(4), np.int32(8)
_NUM_ARGUMENTS = 10
"""More than any kernel has; those that are not given are not read."""
_ROWS = 4
"""Rows that share one pass over a row of weights: their sums fit into vector registers."""

_FREE = {"reassoc", "contract", "nsz"}
"""What LLVM may do with floats: reorder sums and fuse. NaN and infinity stay what they are."""
_compiled = njit(fastmath=_FREE, error_model="numpy", boundscheck=False)
_kernel = cfunc(types.void(types.voidptr), fastmath=_FREE, error_model="numpy")


@intrinsic
def _pointer(_context: Any, _address: Any) -> Any:
    """An int64 as a pointer."""

    def emit(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), emit


@_compiled
def _dot(weight: Any, row: Any) -> Any:
    total = _F32(0)
    for i in range(len(weight)):
        total += _F32(weight[i]) * row[i]
    return total


@_compiled
def _dot_of_four(weight: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    of_a, of_b, of_c, of_d = _F32(0), _F32(0), _F32(0), _F32(0)
    for i in range(len(weight)):
        value = weight[i]
        of_a += value * a[i]
        of_b += value * b[i]
        of_c += value * c[i]
        of_d += value * d[i]
    return of_a, of_b, of_c, of_d


@_compiled
def _dot_rows(weight: Any, rows: Any, out: Any, output: Any, scale: Any) -> None:
    """``out[:, output] = scale * (rows @ weight)``, weight in float32."""
    row = 0
    while row + _ROWS <= len(rows):
        sums = _dot_of_four(weight, rows[row], rows[row + 1], rows[row + 2], rows[row + 3])
        for k in range(_ROWS):
            out[row + k, output] = scale * sums[k]
        row += _ROWS
    while row < len(rows):
        out[row, output] = scale * _dot(weight, rows[row])
        row += 1


@_compiled
def _dot_nibbles(packed: Any, even: Any, odd: Any) -> Any:
    """Of weights in [0, 15]: the caller takes the offset out again."""
    total = _F32(0)
    for i in range(len(packed)):
        pair = _I32(packed[i])
        total += _F32(pair & _LOW) * even[i] + _F32(pair >> _HIGH) * odd[i]
    return total


@_compiled
def _spread_nibbles(packed: Any, scale: Any, even: Any, odd: Any) -> None:
    for i in range(len(packed)):
        pair = _I32(packed[i])
        even[i] = _F32((pair & _LOW) - _OFFSET) * scale
        odd[i] = _F32((pair >> _HIGH) - _OFFSET) * scale


@functools.cache
def int8_product() -> native.Kernel:
    """``out = rows @ weight.T * scale``.

    Arguments: N, K, O; weight int8 [O, K], scale float32 [O], rows float32 [N, K], out float32
    [N, O], scratch float32 [threads, K].
    """
    thread_id, num_threads = native.pool().thread_id, native.pool().num_threads

    @_kernel
    def kernel(address):  # type: ignore[no-untyped-def]
        a = carray(address, _NUM_ARGUMENTS, dtype=np.int64)
        num_rows, num_in, num_out = a[0], a[1], a[2]
        thread, threads = np.int64(thread_id()), np.int64(num_threads())
        weight = carray(_pointer(a[3]), (num_out, num_in), dtype=np.int8)
        scale = carray(_pointer(a[4]), num_out, dtype=np.float32)
        rows = carray(_pointer(a[5]), (num_rows, num_in), dtype=np.float32)
        out = carray(_pointer(a[6]), (num_rows, num_out), dtype=np.float32)
        spread = carray(_pointer(a[7]), (threads, num_in), dtype=np.float32)[thread]
        for output in range(num_out * thread // threads, num_out * (thread + 1) // threads):
            if num_rows == 1:
                out[0, output] = scale[output] * _dot(weight[output], rows[0])
            else:
                column = weight[output]
                for i in range(num_in):
                    spread[i] = _F32(column[i])
                _dot_rows(spread, rows, out, output, scale[output])

    return kernel  # type: ignore[no-any-return]


@functools.cache
def int4_product() -> native.Kernel:
    """``out = rows @ ((weight - 8) * scale).T``, a scale for each of G groups of inputs.

    Arguments: N, K, O, G; weight uint8 [O, K/2], low bits the even input; scale float32 [O, G];
    rows float32 [N, K], first the even inputs, then the odd ones; sums of the first row's groups
    float32 [G], read where N is 1; out float32 [N, O], scratch float32 [threads, K].
    """
    thread_id, num_threads = native.pool().thread_id, native.pool().num_threads

    @_kernel
    def kernel(address):  # type: ignore[no-untyped-def]
        a = carray(address, _NUM_ARGUMENTS, dtype=np.int64)
        num_rows, num_in, num_out, groups = a[0], a[1], a[2], a[3]
        half = num_in // groups // 2
        thread, threads = np.int64(thread_id()), np.int64(num_threads())
        weight = carray(_pointer(a[4]), (num_out, groups, half), dtype=np.uint8)
        scale = carray(_pointer(a[5]), (num_out, groups), dtype=np.float32)
        rows = carray(_pointer(a[6]), (num_rows, num_in), dtype=np.float32)
        sums = carray(_pointer(a[7]), groups, dtype=np.float32)
        out = carray(_pointer(a[8]), (num_rows, num_out), dtype=np.float32)
        spread = carray(_pointer(a[9]), (threads, num_in), dtype=np.float32)[thread]
        even, odd = rows[0, : num_in // 2], rows[0, num_in // 2 :]
        for output in range(num_out * thread // threads, num_out * (thread + 1) // threads):
            if num_rows == 1:
                total = _F32(0)
                for group in range(groups):
                    part = slice(group * half, (group + 1) * half)
                    dot = _dot_nibbles(weight[output, group], even[part], odd[part])
                    total += scale[output, group] * (dot - _F32(8) * sums[group])
                out[0, output] = total
            else:
                for group in range(groups):
                    low = spread[group * half : (group + 1) * half]
                    high = spread[num_in // 2 + group * half : num_in // 2 + (group + 1) * half]
                    _spread_nibbles(weight[output, group], scale[output, group], low, high)
                _dot_rows(spread, rows, out, output, _F32(1))

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
        weight = carray(_pointer(a[3]), (num_out, groups, half), dtype=np.uint8)
        scale = carray(_pointer(a[4]), (num_out, groups), dtype=np.float32)
        out = carray(_pointer(a[5]), (num_out, groups, half, 2), dtype=np.float32)
        for output in range(num_out * thread // threads, num_out * (thread + 1) // threads):
            for group in range(groups):
                packed, unpacked = weight[output, group], out[output, group]
                factor = scale[output, group]
                for i in range(half):
                    pair = _I32(packed[i])
                    unpacked[i, 0] = _F32((pair & _LOW) - _OFFSET) * factor
                    unpacked[i, 1] = _F32((pair >> _HIGH) - _OFFSET) * factor

    return kernel  # type: ignore[no-any-return]
