"""The compiled loops of a decode's attention, over the KV cache.

::

    store      norms of q and k where there are, rotation by position (Su et al. 2021), keys and
               values into the KV cache
    attend     softmax(q @ k.T) @ v for one token of each row's sequence, over the cache's blocks

Rows are float32, the cache float32 or bfloat16. Each kernel works on the share of its thread.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import carray

from serve.engine.transformers.kernels.arguments import AttendArguments, StoreArguments, slots
from serve.engine.transformers.kernels.compiling import compiled, exact, kernel_of
from serve.engine.transformers.kernels.float_kernels import narrow
from serve.engine.transformers.kernels.intrinsics import float_of, pointer
from serve.engine.transformers.kernels.layer_kernels import exponential, write_normed
from serve.engine.transformers.kernels.layout import BLOCK_SIZE
from serve.engine.transformers.kernels.native import Kernel
from serve.engine.transformers.kernels.threads import num_threads, thread_id

_F32, _I32 = np.float32, np.int32
_STORE, _ATTEND = slots(StoreArguments), slots(AttendArguments)


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
        scores[i] = exponential(scores[i] - largest)
    total = _F32(0)
    for i in range(len(scores)):
        total += scores[i]
    return total


@functools.cache
def store(*, is_bfloat16: bool) -> Kernel:
    """Norms, rotation, and the way into the cache, of ``StoreArguments``."""
    kind, keep = (np.uint16, _keep_bfloat16) if is_bfloat16 else (np.float32, _keep_floats)
    size = 2 if is_bfloat16 else 4

    @kernel_of(StoreArguments)
    def kernel(address):  # type: ignore[no-untyped-def]
        arguments = carray(address, len(_STORE), dtype=np.int64)
        num_rows, num_heads = arguments[_STORE.num_rows], arguments[_STORE.num_heads]
        num_kv, dim = arguments[_STORE.num_kv_heads], arguments[_STORE.head_dim]
        thread, threads = np.int64(thread_id()), np.int64(num_threads())
        width = num_heads + 2 * num_kv
        epsilon = float_of(_I32(arguments[_STORE.epsilon]))
        qkv = carray(pointer(arguments[_STORE.qkv]), (num_rows, width, dim), dtype=np.float32)
        cos = carray(pointer(arguments[_STORE.cos]), (num_rows, dim), dtype=np.float32)
        sin = carray(pointer(arguments[_STORE.sin]), (num_rows, dim), dtype=np.float32)
        places = carray(pointer(arguments[_STORE.slots]), num_rows, dtype=np.int64)
        items = num_rows * width
        for item in range(items * thread // threads, items * (thread + 1) // threads):
            row, head = item // width, item % width
            is_query, is_value = head < num_heads, head >= num_heads + num_kv
            x = qkv[row, head]
            if not is_value:
                weight_at = arguments[_STORE.q_norm] if is_query else arguments[_STORE.k_norm]
                if weight_at != 0:
                    weight = carray(pointer(weight_at), dim, dtype=np.float32)
                    write_normed(x, weight, epsilon, x)
                _rotate(x, cos[row], sin[row])
            if not is_query:
                pool_at = arguments[_STORE.values] if is_value else arguments[_STORE.keys]
                place = places[row] * num_kv + (head - num_heads) % num_kv
                keep(x, carray(pointer(pool_at + size * place * dim), dim, dtype=kind))

    return kernel


@functools.cache
def attend(*, is_bfloat16: bool) -> Kernel:
    """Attention of one token for each row, of ``AttendArguments``; threads take heads of rows."""
    kind = np.uint16 if is_bfloat16 else np.float32
    dot = _dot_bfloat16 if is_bfloat16 else _dot_floats
    add = _add_bfloat16 if is_bfloat16 else _add_floats
    size = 2 if is_bfloat16 else 4

    @kernel_of(AttendArguments)
    def kernel(address):  # type: ignore[no-untyped-def]
        arguments = carray(address, len(_ATTEND), dtype=np.int64)
        num_rows, num_heads = arguments[_ATTEND.num_rows], arguments[_ATTEND.num_heads]
        num_kv, dim = arguments[_ATTEND.num_kv_heads], arguments[_ATTEND.head_dim]
        window, max_tokens = arguments[_ATTEND.window], arguments[_ATTEND.max_tokens]
        thread, threads = np.int64(thread_id()), np.int64(num_threads())
        shape = (num_rows, num_heads + 2 * num_kv, dim)
        qkv = carray(pointer(arguments[_ATTEND.qkv]), shape, dtype=np.float32)
        starts = carray(pointer(arguments[_ATTEND.starts]), num_rows, dtype=np.int64)
        lengths = carray(pointer(arguments[_ATTEND.lengths]), num_rows, dtype=np.int64)
        out = carray(pointer(arguments[_ATTEND.out]), (num_rows, num_heads, dim), dtype=np.float32)
        scores_at = arguments[_ATTEND.scores] + 4 * thread * max_tokens
        scores = carray(pointer(scores_at), max_tokens, dtype=np.float32)
        scale = float_of(_I32(arguments[_ATTEND.scale]))
        items = num_rows * num_heads
        for item in range(items * thread // threads, items * (thread + 1) // threads):
            row, head = item // num_heads, item % num_heads
            kv = head * num_kv // num_heads
            length = lengths[row]
            first = max(0, length - window) if window != 0 else 0
            blocks_at = arguments[_ATTEND.blocks] + 8 * starts[row]
            blocks = carray(pointer(blocks_at), length, dtype=np.int64)
            largest = _F32(-np.inf)
            for token in range(first, length):
                slot = blocks[token // BLOCK_SIZE] * BLOCK_SIZE + token % BLOCK_SIZE
                at = pointer(arguments[_ATTEND.keys] + size * (slot * num_kv + kv) * dim)
                score = dot(qkv[row, head], carray(at, dim, dtype=kind)) * scale
                scores[token - first] = score
                largest = max(largest, score)
            total = _soften(scores[: length - first], largest)
            attended = out[row, head]
            attended[:] = _F32(0)
            for token in range(first, length):
                slot = blocks[token // BLOCK_SIZE] * BLOCK_SIZE + token % BLOCK_SIZE
                at = pointer(arguments[_ATTEND.values] + size * (slot * num_kv + kv) * dim)
                add(attended, scores[token - first] / total, carray(at, dim, dtype=kind))

    return kernel
