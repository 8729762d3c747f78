"""Loops of our own, compiled when the server starts, on the threads that torch computes with.

torch has no product over stored integers with a scale for each group that is fast for few rows and
for many, on any processor. Numba compiles the loops that are missing, for whatever vector registers
there are (``panel_kernels.py``; for floats ``float_kernels.py`` and ``bfloat16_kernels.py``). They
run in torch's OpenMP pool, entered through the very libgomp that torch brings: a second pool would
fight the first for the cores, and one that spins while it waits would halve both.

Where Numba or that library is missing, ``is_available`` says no, and tiles are unpacked by torch's
own operators: the same results, slower.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import torch

_POOL = Path(torch.__file__).parent / "lib" / "libgomp.so.1"


CALL_WORDS = 16
"""Of a call in a ``Sequence``: the kernel and its arguments."""


COUNTER = -(1 << 62)
"""An argument that stands for a counter of the call's own."""
_COUNTER_WORDS = 8
"""A cache line, so that threads at one counter do not disturb those at another."""


class Kernel(Protocol):
    """A compiled ``void (int64 *arguments)``; it finds out which thread of how many it is."""

    address: int


class _Pool:
    """OpenMP's entry points, as GCC's compiled code calls them (libgomp's ABI)."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.enter = library.GOMP_parallel
        self.enter.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        self.enter.restype = None
        self.thread_id = library.omp_get_thread_num
        self.num_threads = library.omp_get_num_threads
        for function in (self.thread_id, self.num_threads):
            function.argtypes = []
            function.restype = ctypes.c_int
        self.barrier = library.GOMP_barrier
        self.barrier.argtypes = []
        self.barrier.restype = None
        self.give_way = ctypes.CDLL(None).sched_yield
        self.give_way.argtypes = []
        self.give_way.restype = ctypes.c_int


@functools.cache
def pool() -> _Pool:
    """Torch's threads.

    Raises:
        OSError: this build of torch brings no libgomp.
        AttributeError: it is another library of that name.
    """
    return _Pool(ctypes.CDLL(str(_POOL)))


@functools.cache
def is_available() -> bool:
    """Whether loops can be compiled and run here."""
    if importlib.util.find_spec("numba") is None or not _POOL.exists():
        return False
    try:
        pool()
    except (OSError, AttributeError):
        return False
    return True


@functools.cache
def has_bfloat16_products() -> bool:
    """Whether loops can be compiled here, and this processor sums products of bfloat16."""
    if not is_available():
        return False
    from serve.engine.transformers.kernels import bfloat16_dot  # noqa: PLC0415 - Numba is loaded when it is needed

    return bfloat16_dot.is_available()


SUMS = 128
"""Numbers that a thread has to itself on the way to a result: whole cache lines."""


def row_bytes(num_in: int) -> int:
    """A row as a loop reads it, in 16 bits each at most, or a byte and a quarter: cache lines."""
    return (2 * num_in + 63) // 64 * 64


def run(kernel: Kernel, *arguments: int) -> None:
    """Run ``kernel`` on as many threads as torch uses, and wait for it.

    Args:
        arguments: sizes, and addresses (``Tensor.data_ptr()``) of contiguous tensors on the CPU
            that live until this returns. Nothing checks them.
    """
    block = (ctypes.c_int64 * len(arguments))(*arguments)
    pool().enter(kernel.address, ctypes.addressof(block), torch.get_num_threads(), 0)


class Sequence:
    """Calls of kernels, one after the other, in one visit to torch's threads.

    For each call the address of its kernel and up to ``CALL_WORDS - 1`` arguments, the first of
    which is a number of rows. What the addresses stand for has to outlive this. Calls with
    ``COUNTER`` among them get the address of an int64 of their own there, zero at each start.
    """

    def __init__(self, calls: Iterable[tuple[Kernel, Iterable[int]]]) -> None:
        from serve.engine.transformers.kernels import layer_kernels  # noqa: PLC0415 - Numba is loaded when it is needed

        self._run = layer_kernels.sequence()
        lines = [[kernel.address, *arguments] for kernel, arguments in calls]
        self._counters = torch.zeros(1 + len(lines), _COUNTER_WORDS, dtype=torch.int64)
        for line, counter in zip(lines, self._counters[1:], strict=True):
            line[:] = [counter.data_ptr() if word == COUNTER else word for word in line]
        lines = [line + [0] * (CALL_WORDS - len(line)) for line in lines]
        self._words = torch.tensor(lines, dtype=torch.int64)

    def run(self, num_rows: int) -> None:
        """Run all calls over the first ``num_rows`` rows."""
        self._words[:, 1] = num_rows
        self._counters.zero_()
        run(self._run, len(self._words), self._words.data_ptr(), self._counters.data_ptr())
