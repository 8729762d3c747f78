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

from serve.engine.batching.loops import native
from serve.engine.batching.loops.intrinsics import bits_of, pointer
from serve.engine.batching.loops.vector_dot import Kind, dots

_F32, _I32, _I16, _U16 = np.float32, np.int32, np.int16, np.uint16
_LOW, _HIGH, _OFFSET = np.int32(15), np.int32(4), np.int32(8)
_TINY = np.float32(1e-10)
_NUM_ARGUMENTS = 15
"""More than any kernel has; those that are not given are not read."""
_FREE = {"reassoc", "contract", "nsz"}
"""What LLVM may do with floats: reorder sums and fuse. NaN and infinity stay what they are."""

compiled = njit(fastmath=_FREE, error_model="numpy", boundscheck=False)
exact = njit(error_model="numpy", boundscheck=False)
kernel_of = cfunc(types.void(types.voidptr), error_model="numpy")


own_sums = njit(native.own_sums)


@compiled
def size_of(row: Any) -> Any:
    """The largest absolute value; NaN where a value is not finite."""
    largest, poison = _F32(0), _F32(0)
    for i in range(len(row)):
        value = abs(row[i])
        largest = max(largest, value)
        poison += value * _F32(0)
    return max(largest, _TINY) + poison


@exact
def _whole(row: Any, levels: Any, out: Any) -> Any:
    """``row`` in whole levels of its size; returns what they are to be multiplied by."""
    size = size_of(row)
    factor = levels / size
    for i in range(len(row)):
        out[i] = _I16(np.rint(row[i] * factor))
    return size / levels


@exact
def _whole_apart(row: Any, levels: Any, even: Any, odd: Any) -> Any:
    """The same, even and odd inputs apart."""
    size = size_of(row)
    factor = levels / size
    for i in range(len(even)):
        even[i] = _I16(np.rint(row[2 * i] * factor))
        odd[i] = _I16(np.rint(row[2 * i + 1] * factor))
    return size / levels


@exact
def narrow(number: Any) -> Any:
    """The bits of the nearest bfloat16, of two the even one."""
    bits = bits_of(number)
    if number != number:  # noqa: PLR0124 - so NaN is told
        return _U16(0x7FC0)
    return _U16(((bits + _I32(0x7FFF) + ((bits >> _I32(16)) & _I32(1))) >> _I32(16)) & _I32(0xFFFF))


@exact
def _all_whole(rows: Any, levels: Any, whole: Any, factors: Any) -> None:
    for row in range(len(rows)):
        factors[row] = _whole(rows[row], levels, whole[row])


@exact
def _all_whole_apart(rows: Any, levels: Any, whole: Any, factors: Any) -> None:
    half = rows.shape[1] // 2
    for row in range(len(rows)):
        factors[row] = _whole_apart(rows[row], levels, whole[row, :half], whole[row, half:])


def _dots_of_all(kind: Kind) -> Any:
    """``dots`` of any number of rows; for each four the weights come from the first cache again."""
    one, two, four = (dots(kind, num) for num in (1, 2, 4))

    @exact
    def multiply(weight, rows_at, stride, scale, groups, length, sums_at, num_rows):  # type: ignore[no-untyped-def]
        row = 0
        while num_rows - row >= 4:
            rows, sums = pointer(rows_at + row * stride), pointer(sums_at + 4 * row)
            four(weight, rows, stride, scale, groups, length, sums)
            row += 4
        if num_rows - row >= 2:
            rows, sums = pointer(rows_at + row * stride), pointer(sums_at + 4 * row)
            two(weight, rows, stride, scale, groups, length, sums)
            row += 2
        if row < num_rows:
            rows, sums = pointer(rows_at + row * stride), pointer(sums_at + 4 * row)
            one(weight, rows, stride, scale, groups, length, sums)

    return multiply


@functools.cache
def product(kind: Kind) -> native.Kernel:
    """``out = rows @ weight.T``, plus bias, plus what is in ``out`` already.

    Arguments: N, K, O, G, the levels, whether to add to ``out``; addresses of the weight as
    ``vector_dot.dots`` reads it, [O, ...]; of its scales, float32 [O] for int8 and [O, G] for int4;
    of the bias, float32 [O], or 0; of rows, float32 [N, K]; out, float32 [N, O]; and of scratch,
    int16 [threads, N, K] and float32 [threads, own_sums(N)]. G divides K into groups. The
    last two arguments are not read.
    """
    thread_id, num_threads = native.pool().thread_id, native.pool().num_threads
    multiply = _dots_of_all(kind)
    is_whole, has_scale = kind in {"int8", "int4"}, kind == "int8"
    make_whole = _all_whole_apart if kind == "int4" else _all_whole
    half_bytes = {"int4": 1, "int8": 2, "bfloat16": 4, "float32": 8}[kind]
    per_length = 2 if kind == "int4" else 1

    @kernel_of
    def kernel(address):  # type: ignore[no-untyped-def]
        a = carray(address, _NUM_ARGUMENTS, dtype=np.int64)
        num_rows, num_in, num_out, groups = a[0], a[1], a[2], a[3]
        thread, threads = np.int64(thread_id()), np.int64(num_threads())
        scales = carray(pointer(a[7]), num_out, dtype=np.float32)
        biases = carray(pointer(a[8]), num_out, dtype=np.float32)
        out = carray(pointer(a[10]), (num_rows, num_out), dtype=np.float32)
        sums_at = a[12] + 4 * thread * own_sums(num_rows)
        sums = carray(pointer(sums_at), num_rows, dtype=np.float32)
        factors = carray(pointer(sums_at + 4 * num_rows), num_rows, dtype=np.float32)
        rows_at, stride = a[9], 4 * num_in
        if is_whole:
            rows = carray(pointer(a[9]), (num_rows, num_in), dtype=np.float32)
            rows_at, stride = a[11] + 2 * thread * num_rows * num_in, 2 * num_in
            whole = carray(pointer(rows_at), (num_rows, num_in), dtype=np.int16)
            make_whole(rows, _F32(a[4]), whole, factors)
        length = num_in // groups // per_length
        for output in range(num_out * thread // threads, num_out * (thread + 1) // threads):
            weight = pointer(a[6] + output * (num_in * half_bytes // 2))
            scale = pointer(a[7] + 4 * output * groups)
            multiply(weight, rows_at, stride, scale, groups, length, sums_at, num_rows)
            for row in range(num_rows):
                value = sums[row]
                if has_scale:
                    value *= scales[output]
                if is_whole:
                    value *= factors[row]
                if a[8] != 0:
                    value += biases[output]
                if a[5] != 0:
                    value += out[row, output]
                out[row, output] = value

    return kernel  # type: ignore[no-any-return]


@functools.cache
def int4_unpack() -> native.Kernel:
    """``out = (weight - 8) * scale``.

    Arguments: K, O, G; weight uint8 [O, K/2], scale float32 [O, G], out float32 [O, K].
    """
    thread_id, num_threads = native.pool().thread_id, native.pool().num_threads

    @kernel_of
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
