"""The compiled loops of a decoder layer between its products, and the one that runs them all.

They are those of the Llama kind, over float32 rows::

    norm       RMSNorm (Zhang & Sennrich 2019)
    store      norms of q and k where there are, rotation by position (Su et al. 2021), keys and
               values into the KV cache
    attend     softmax(q @ k.T) @ v for one token of each row's sequence, over the cache's blocks
    gate       silu(gate) * up (Shazeer 2020)
    sequence   calls kernels one after the other, all threads at each together

Each kernel works on the share of its thread. Only ``native.py`` calls them.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import carray

from serve.engine.transformers.kernels import native
from serve.engine.transformers.kernels.float_kernels import compiled, exact, kernel_of, narrow
from serve.engine.transformers.kernels.intrinsics import (
    call,
    count_up,
    counted,
    float_of,
    pointer,
)
from serve.engine.transformers.kv_cache import BLOCK_SIZE

_F32, _I32 = np.float32, np.int32
_NUM_ARGUMENTS = native.CALL_WORDS - 1
_LOWEST, _HIGHEST = _F32(-87.0), _F32(88.0)
_LOG2_E, _LN2_HIGH, _LN2_LOW = _F32(1.44269504), _F32(0.693359375), _F32(-2.12194440e-4)
_FACTORIALS = tuple(_F32(1 / value) for value in (720, 120, 24, 6, 2))
_ONE = _F32(1)
_LOOKS = 10_000
"""At the counter before a waiting thread gives way: less than a millisecond."""


@exact
def _exp(x: Any) -> Any:
    """The exponential, within 3 of 10**7. LLVM computes several at once; libm's would stop it."""
    x = min(max(x, _LOWEST), _HIGHEST)
    power = np.rint(x * _LOG2_E)
    rest = x - power * _LN2_HIGH
    rest -= power * _LN2_LOW
    series = _FACTORIALS[0]
    series = series * rest + _FACTORIALS[1]
    series = series * rest + _FACTORIALS[2]
    series = series * rest + _FACTORIALS[3]
    series = series * rest + _FACTORIALS[4]
    series = series * rest * rest + rest + _ONE
    return series * float_of((_I32(power) + _I32(127)) << _I32(23))


@compiled
def _mean_square(x: Any) -> Any:
    total = _F32(0)
    for i in range(len(x)):
        total += x[i] * x[i]
    return total / _F32(len(x))


@compiled
def _normed(x: Any, weight: Any, epsilon: Any, out: Any) -> None:
    factor = _ONE / np.sqrt(_mean_square(x) + epsilon)
    for i in range(len(x)):
        out[i] = x[i] * factor * weight[i]


@exact
def _rotate(x: Any, cos: Any, sin: Any) -> None:
    half = len(x) // 2
    for i in range(half):
        left, right = x[i], x[i + half]
        x[i] = left * cos[i] - right * sin[i]
        x[i + half] = right * cos[i + half] + left * sin[i + half]


@exact
def _keep_floats(x: Any, out: Any) -> None:
    for i in range(len(x)):
        out[i] = x[i]


@exact
def _keep_bfloat16(x: Any, out: Any) -> None:
    for i in range(len(x)):
        out[i] = narrow(x[i])


@compiled
def _dot_floats(x: Any, stored: Any) -> Any:
    total = _F32(0)
    for i in range(len(x)):
        total += x[i] * stored[i]
    return total


@compiled
def _dot_bfloat16(x: Any, stored: Any) -> Any:
    total = _F32(0)
    for i in range(len(x)):
        total += x[i] * float_of(_I32(stored[i]) << _I32(16))
    return total


@compiled
def _add_floats(out: Any, weight: Any, stored: Any) -> None:
    for i in range(len(out)):
        out[i] += weight * stored[i]


@compiled
def _add_bfloat16(out: Any, weight: Any, stored: Any) -> None:
    for i in range(len(out)):
        out[i] += weight * float_of(_I32(stored[i]) << _I32(16))


@exact
def _soften(scores: Any, largest: Any) -> Any:
    """``exp(scores - largest)`` in place; returns its sum."""
    for i in range(len(scores)):
        scores[i] = _exp(scores[i] - largest)
    total = _F32(0)
    for i in range(len(scores)):
        total += scores[i]
    return total


@exact
def _gated(gate: Any, up: Any, out: Any) -> None:
    for i in range(len(out)):
        out[i] = gate[i] / (_ONE + _exp(-gate[i])) * up[i]


@functools.cache
def norm() -> native.Kernel:
    """Arguments: N, K, epsilon's bits; rows float32 [N, K], weight float32 [K], out [N, K]."""
    thread_id, num_threads = native.pool().thread_id, native.pool().num_threads

    @kernel_of
    def kernel(address):  # type: ignore[no-untyped-def]
        a = carray(address, _NUM_ARGUMENTS, dtype=np.int64)
        shape, thread, threads = (a[0], a[1]), np.int64(thread_id()), np.int64(num_threads())
        rows = carray(pointer(a[3]), shape, dtype=np.float32)
        weight = carray(pointer(a[4]), a[1], dtype=np.float32)
        out = carray(pointer(a[5]), shape, dtype=np.float32)
        for row in range(a[0] * thread // threads, a[0] * (thread + 1) // threads):
            _normed(rows[row], weight, float_of(_I32(a[2])), out[row])

    return kernel  # type: ignore[no-any-return]


@functools.cache
def gate() -> native.Kernel:
    """Arguments: N, I; float32 [N, 2 I], gates before ups; out float32 [N, I]."""
    thread_id, num_threads = native.pool().thread_id, native.pool().num_threads

    @kernel_of
    def kernel(address):  # type: ignore[no-untyped-def]
        a = carray(address, _NUM_ARGUMENTS, dtype=np.int64)
        size, thread, threads = a[1], np.int64(thread_id()), np.int64(num_threads())
        both = carray(pointer(a[2]), (a[0], 2, size), dtype=np.float32)
        out = carray(pointer(a[3]), (a[0], size), dtype=np.float32)
        start, stop = size * thread // threads, size * (thread + 1) // threads
        for row in range(a[0]):
            _gated(both[row, 0, start:stop], both[row, 1, start:stop], out[row, start:stop])

    return kernel  # type: ignore[no-any-return]


@functools.cache
def store(*, is_bfloat16: bool) -> native.Kernel:
    """Arguments: N, H, Hkv, D, epsilon's bits; qkv float32 [N, H + 2 Hkv, D], rotated in place;
    cos and sin float32 [N, D]; weights of the norms of q and k, float32 [D], or 0; slots int64 [N];
    a layer's keys and values, [slots, Hkv, D].
    """
    thread_id, num_threads = native.pool().thread_id, native.pool().num_threads
    kind, keep = (np.uint16, _keep_bfloat16) if is_bfloat16 else (np.float32, _keep_floats)
    size = 2 if is_bfloat16 else 4

    @kernel_of
    def kernel(address):  # type: ignore[no-untyped-def]
        a = carray(address, _NUM_ARGUMENTS, dtype=np.int64)
        num_rows, num_heads, num_kv, dim = a[0], a[1], a[2], a[3]
        thread, threads = np.int64(thread_id()), np.int64(num_threads())
        width = num_heads + 2 * num_kv
        qkv = carray(pointer(a[5]), (num_rows, width, dim), dtype=np.float32)
        cos = carray(pointer(a[6]), (num_rows, dim), dtype=np.float32)
        sin = carray(pointer(a[7]), (num_rows, dim), dtype=np.float32)
        slots = carray(pointer(a[10]), num_rows, dtype=np.int64)
        items = num_rows * width
        for item in range(items * thread // threads, items * (thread + 1) // threads):
            row, head = item // width, item % width
            x = qkv[row, head]
            if head < num_heads + num_kv:
                weight_at = a[8] if head < num_heads else a[9]
                if weight_at != 0:
                    weight = carray(pointer(weight_at), dim, dtype=np.float32)
                    _normed(x, weight, float_of(_I32(a[4])), x)
                _rotate(x, cos[row], sin[row])
            if head >= num_heads:
                pool_at = a[11] if head < num_heads + num_kv else a[12]
                place = slots[row] * num_kv + (head - num_heads) % num_kv
                keep(x, carray(pointer(pool_at + size * place * dim), dim, dtype=kind))

    return kernel  # type: ignore[no-any-return]


@functools.cache
def attend(*, is_bfloat16: bool) -> native.Kernel:
    """Arguments: N, H, Hkv, D, window or 0, most tokens; qkv and a layer's keys and values as in
    ``store``; int64 [N] of which row's blocks start where in the next, lengths int64 [N], blocks
    int64; out float32 [N, H, D], scratch float32 [threads, most tokens]; the scale's bits.
    """
    thread_id, num_threads = native.pool().thread_id, native.pool().num_threads
    kind = np.uint16 if is_bfloat16 else np.float32
    dot = _dot_bfloat16 if is_bfloat16 else _dot_floats
    add = _add_bfloat16 if is_bfloat16 else _add_floats
    size = 2 if is_bfloat16 else 4

    @kernel_of
    def kernel(address):  # type: ignore[no-untyped-def]
        a = carray(address, _NUM_ARGUMENTS, dtype=np.int64)
        num_rows, num_heads, num_kv, dim = a[0], a[1], a[2], a[3]
        thread, threads = np.int64(thread_id()), np.int64(num_threads())
        qkv = carray(pointer(a[6]), (num_rows, num_heads + 2 * num_kv, dim), dtype=np.float32)
        starts = carray(pointer(a[9]), num_rows, dtype=np.int64)
        lengths = carray(pointer(a[10]), num_rows, dtype=np.int64)
        out = carray(pointer(a[12]), (num_rows, num_heads, dim), dtype=np.float32)
        scores = carray(pointer(a[13] + 4 * thread * a[5]), a[5], dtype=np.float32)
        scale = float_of(_I32(a[14]))
        items = num_rows * num_heads
        for item in range(items * thread // threads, items * (thread + 1) // threads):
            row, head = item // num_heads, item % num_heads
            kv = head * num_kv // num_heads
            length = lengths[row]
            first = max(0, length - a[4]) if a[4] != 0 else 0
            blocks = carray(pointer(a[11] + 8 * starts[row]), length, dtype=np.int64)
            largest = _F32(-np.inf)
            for token in range(first, length):
                slot = blocks[token // BLOCK_SIZE] * BLOCK_SIZE + token % BLOCK_SIZE
                at = pointer(a[7] + size * (slot * num_kv + kv) * dim)
                score = dot(qkv[row, head], carray(at, dim, dtype=kind)) * scale
                scores[token - first] = score
                largest = max(largest, score)
            total = _soften(scores[: length - first], largest)
            attended = out[row, head]
            attended[:] = _F32(0)
            for token in range(first, length):
                slot = blocks[token // BLOCK_SIZE] * BLOCK_SIZE + token % BLOCK_SIZE
                at = pointer(a[8] + size * (slot * num_kv + kv) * dim)
                add(attended, scores[token - first] / total, carray(at, dim, dtype=kind))

    return kernel  # type: ignore[no-any-return]


@functools.cache
def sequence() -> native.Kernel:
    """Arguments: how many calls; their address, ``native.CALL_WORDS`` int64 each: a kernel's
    address and its arguments; and that of an int64, zero at the start. No thread begins a call
    before all have ended the one before.

    They wait awake, for a step has hundreds of calls of a few microseconds. OpenMP's own barrier
    sends threads to sleep at once when there are more than cores, counting those of other callers;
    it made a step of 20 ms one of 30 (docs/lab-notes.md).
    """
    num_threads, give_way = native.pool().num_threads, native.pool().give_way

    @kernel_of
    def kernel(address):  # type: ignore[no-untyped-def]
        a = carray(address, 3, dtype=np.int64)
        words = carray(pointer(a[1]), (a[0], native.CALL_WORDS), dtype=np.int64)
        threads = np.int64(num_threads())
        for index in range(a[0]):
            call(words[index, 0], pointer(a[1] + 8 * (index * native.CALL_WORDS + 1)))
            count_up(a[2])
            looks = 0
            while counted(a[2]) < threads * (index + 1):
                looks += 1
                if looks > _LOOKS:  # the other may have no core to run on
                    give_way()

    return kernel  # type: ignore[no-any-return]
