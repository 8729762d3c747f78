"""The compiled loop that fills the KV cache: norms of queries and keys where there are, rotation by
position (Su et al. 2021), keys and values into their slots.

Rows are float32, the cache float32 or bfloat16. Each kernel works on the share of its thread.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import carray

from serve.engine.transformers.kernels.arguments import StoreArguments, slots
from serve.engine.transformers.kernels.compiling import exact, kernel_of
from serve.engine.transformers.kernels.float_kernels import narrow
from serve.engine.transformers.kernels.intrinsics import float_of, pointer
from serve.engine.transformers.kernels.layer_kernels import write_normed
from serve.engine.transformers.kernels.native import Kernel
from serve.engine.transformers.kernels.threads import num_threads, thread_id

_I32 = np.int32
_STORE = slots(StoreArguments)


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
