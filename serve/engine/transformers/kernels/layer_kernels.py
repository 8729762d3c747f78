"""The compiled loops of a decoder layer between its products, and the one that runs them all.

They are those of the Llama kind, over float32 rows::

    norm       RMSNorm (Zhang & Sennrich 2019)
    gate       silu(gate) * up (Shazeer 2020)
    sequence   calls kernels one after the other, all threads at each together

Each kernel works on the share of its thread; those of attention are in ``store_kernels.py``
and ``attention_kernels.py``.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import carray

from serve.engine.transformers.kernels.arguments import (
    CALL_WORDS,
    GateArguments,
    NormArguments,
    SequenceArguments,
    slots,
)
from serve.engine.transformers.kernels.compiling import compiled, exact, kernel_of
from serve.engine.transformers.kernels.intrinsics import (
    call,
    count_up,
    counted,
    float_of,
    pointer,
)
from serve.engine.transformers.kernels.native import Kernel
from serve.engine.transformers.kernels.threads import give_way, num_threads, thread_id

_F32, _I32 = np.float32, np.int32
_NORM, _GATE, _SEQUENCE = slots(NormArguments), slots(GateArguments), slots(SequenceArguments)
_LOWEST, _HIGHEST = _F32(-87.0), _F32(88.0)
_LOG2_E, _LN2_HIGH, _LN2_LOW = _F32(1.44269504), _F32(0.693359375), _F32(-2.12194440e-4)
_FACTORIALS = tuple(_F32(1 / value) for value in (720, 120, 24, 6, 2))
_ONE = _F32(1)
_LOOKS = 10_000
"""At the counter before a waiting thread gives way: less than a millisecond."""


@exact
def exponential(x: Any) -> Any:
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
def write_normed(x: Any, weight: Any, epsilon: Any, out: Any) -> None:
    """RMSNorm of one row into ``out``, which may be the row itself."""
    factor = _ONE / np.sqrt(_mean_square(x) + epsilon)
    for i in range(len(x)):
        out[i] = x[i] * factor * weight[i]


@exact
def _gated(gate: Any, up: Any, out: Any) -> None:
    for i in range(len(out)):
        out[i] = gate[i] / (_ONE + exponential(-gate[i])) * up[i]


@functools.cache
def norm() -> Kernel:
    """RMSNorm, of ``NormArguments``."""

    @kernel_of(NormArguments)
    def kernel(address):  # type: ignore[no-untyped-def]
        arguments = carray(address, len(_NORM), dtype=np.int64)
        num_rows, size = arguments[_NORM.num_rows], arguments[_NORM.size]
        thread, threads = np.int64(thread_id()), np.int64(num_threads())
        epsilon = float_of(_I32(arguments[_NORM.epsilon]))
        rows = carray(pointer(arguments[_NORM.rows]), (num_rows, size), dtype=np.float32)
        weight = carray(pointer(arguments[_NORM.weight]), size, dtype=np.float32)
        out = carray(pointer(arguments[_NORM.out]), (num_rows, size), dtype=np.float32)
        for row in range(num_rows * thread // threads, num_rows * (thread + 1) // threads):
            write_normed(rows[row], weight, epsilon, out[row])

    return kernel


@functools.cache
def gate() -> Kernel:
    """``silu(gate) * up``, of ``GateArguments``; each thread takes some columns of all rows."""

    @kernel_of(GateArguments)
    def kernel(address):  # type: ignore[no-untyped-def]
        arguments = carray(address, len(_GATE), dtype=np.int64)
        num_rows, size = arguments[_GATE.num_rows], arguments[_GATE.size]
        thread, threads = np.int64(thread_id()), np.int64(num_threads())
        both = carray(pointer(arguments[_GATE.both]), (num_rows, 2, size), dtype=np.float32)
        out = carray(pointer(arguments[_GATE.out]), (num_rows, size), dtype=np.float32)
        start, stop = size * thread // threads, size * (thread + 1) // threads
        for row in range(num_rows):
            _gated(both[row, 0, start:stop], both[row, 1, start:stop], out[row, start:stop])

    return kernel


@functools.cache
def sequence() -> Kernel:
    """Calls of kernels, of ``SequenceArguments``; none begins before all threads have ended the one
    before.

    Threads wait awake, for a step has hundreds of calls of a few microseconds. OpenMP's own barrier
    sends threads to sleep at once when there are more than cores, counting those of other callers;
    it made a step of 20 ms one of 30 (docs/lab-notes.md).
    """

    @kernel_of(SequenceArguments)
    def kernel(address):  # type: ignore[no-untyped-def]
        arguments = carray(address, len(_SEQUENCE), dtype=np.int64)
        num_calls, calls_at = arguments[_SEQUENCE.num_calls], arguments[_SEQUENCE.calls]
        counter = arguments[_SEQUENCE.counter]
        words = carray(pointer(calls_at), (num_calls, CALL_WORDS), dtype=np.int64)
        threads = np.int64(num_threads())
        for index in range(num_calls):
            call(words[index, 0], pointer(calls_at + 8 * (index * CALL_WORDS + 1)))
            count_up(counter)
            looks = 0
            while counted(counter) < threads * (index + 1):
                looks += 1
                if looks > _LOOKS:  # the other may have no core to run on
                    give_way()

    return kernel
