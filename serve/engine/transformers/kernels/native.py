"""Compiled kernels on the threads that torch computes with.

torch has no product over stored integers with a scale for each group that is fast for few rows and
for many, on any processor. Numba compiles the loops that are missing (``panel_kernels.py``,
``float_kernels.py``, ``bfloat16_kernels.py``, ``layer_kernels.py``) for whatever vector registers
there are. They run in torch's OpenMP pool, entered through the very libgomp that torch brings: a
second pool would fight the first for the cores, and one that spins while it waits would halve both.

Where Numba or that library is missing, ``is_available`` says no, and tiles are unpacked by torch's
own operators: the same results, slower.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from collections.abc import Iterable
from pathlib import Path

import torch

from serve.engine.transformers.kernels import machine_code
from serve.engine.transformers.kernels.arguments import (
    CALL_WORDS,
    AttendArguments,
    ProductArguments,
    SequenceArguments,
)

_POOL = Path(torch.__file__).parent / "lib" / "libgomp.so.1"
_COUNTER_WORDS = 8
"""A cache line, so that threads at one counter do not disturb those at another."""

SUMS = 128
"""Numbers that a thread has to itself on the way to a result: whole cache lines."""


def row_bytes(num_in: int) -> int:
    """Bytes of a prepared row, 16 bits a number at most, or a byte and a quarter: cache lines."""
    return (2 * num_in + 63) // 64 * 64


SYMBOLS = (
    "intramural_thread_id",
    "intramural_num_threads",
    "intramural_barrier",
    "intramural_give_way",
)
"""Names by which kernels call torch's threads (``threads.py``), once ``name_threads`` has run."""


class Kernel:
    """A compiled ``void (int64 *arguments)``; it finds out which thread of how many it is.

    Args:
        object_file: its machine code (``machine_code.py``).
        takes: the ``NamedTuple`` of its arguments.

    Raises:
        OSError, AttributeError: there are no threads for it, as ``pool`` says.
    """

    def __init__(self, object_file: bytes, takes: type[tuple[int, ...]]) -> None:
        name_threads()
        self.object_file = object_file
        self._code = machine_code.Code(object_file)
        self.address: int = self._code.address
        self.takes = takes

    def check(self, arguments: tuple[int, ...]) -> None:
        """Refuse the arguments of another kernel.

        Raises:
            TypeError: they are not of the type that this one takes.
        """
        if type(arguments) is not self.takes:
            raise TypeError(
                f"A kernel that takes {self.takes.__name__} was given {type(arguments).__name__} "
                f"of {len(arguments)} numbers. Make them by name: {self.takes.__name__}(...)."
            )


class _Pool:
    """OpenMP's entry points, as GCC's compiled code calls them (libgomp's ABI).

    Attributes:
        enter: run a function on all threads.
        addresses: of what kernels call from there, by the names of ``SYMBOLS``.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self.enter = library.GOMP_parallel
        self.enter.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        self.enter.restype = None
        functions = (
            library.omp_get_thread_num,
            library.omp_get_num_threads,
            library.GOMP_barrier,
            ctypes.CDLL(None).sched_yield,
        )
        self.addresses = {
            name: ctypes.cast(function, ctypes.c_void_p).value or 0
            for name, function in zip(SYMBOLS, functions, strict=True)
        }


@functools.cache
def pool() -> _Pool:
    """Torch's threads.

    Raises:
        OSError: this build of torch brings no libgomp.
        AttributeError: it is another library of that name.
    """
    return _Pool(ctypes.CDLL(str(_POOL)))


@functools.cache
def name_threads() -> None:
    """Let kernels find torch's threads. It imports LLVM.

    Raises:
        OSError, AttributeError: as ``pool``.
    """
    machine_code.add_symbols(pool().addresses)


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


class Scratch:
    """Memory that threads write on the way to a product of up to ``num_rows`` rows.

    Args:
        num_rows: the most.
        num_in: the most inputs of a row.
        is_shared: the threads prepare the rows together, as is faster for many.
    """

    def __init__(self, num_rows: int, num_in: int, *, is_shared: bool = False) -> None:
        self.is_shared = is_shared
        num_threads = torch.get_num_threads()
        num_copies = 1 if is_shared else num_threads
        self.prepared = torch.empty(num_copies, num_rows, row_bytes(num_in), dtype=torch.uint8)
        self.sums = torch.empty(num_threads, SUMS)


def run(kernel: Kernel, arguments: tuple[int, ...]) -> None:
    """Run ``kernel`` on as many threads as torch uses, and wait for it.

    Args:
        kernel: compiled.
        arguments: what it takes. The tensors whose addresses (``Tensor.data_ptr()``) are among them
            are contiguous, on the CPU, and live until this returns. Nothing checks that.

    Raises:
        TypeError: they are another kernel's.
    """
    kernel.check(arguments)
    block = (ctypes.c_int64 * len(arguments))(*arguments)
    pool().enter(kernel.address, ctypes.addressof(block), torch.get_num_threads(), 0)


def _counted(arguments: tuple[int, ...], counter: torch.Tensor) -> tuple[int, ...]:
    """The arguments of what counts, with this counter; others as they are."""
    if not isinstance(arguments, ProductArguments | AttendArguments):
        return arguments
    return arguments._replace(counter=counter.data_ptr())


class CallSequence:
    """Calls of kernels, one after the other, in one visit to torch's threads.

    Each product and each attention gets a counter of its own, zero at each start. What the
    addresses stand for has to outlive this.

    Args:
        kernel: the one that calls the others, ``registry.sequence()``.
        calls: each a kernel and its arguments, the first of which is a number of rows.

    Raises:
        TypeError: a kernel is given another's arguments.
    """

    def __init__(self, kernel: Kernel, calls: Iterable[tuple[Kernel, tuple[int, ...]]]) -> None:
        self._kernel = kernel
        calls = list(calls)
        self._counters = torch.zeros(1 + len(calls), _COUNTER_WORDS, dtype=torch.int64)
        self._words = torch.zeros(len(calls), CALL_WORDS, dtype=torch.int64)
        for (called, arguments), words, counter in zip(
            calls, self._words, self._counters[1:], strict=True
        ):
            called.check(arguments)
            words[0] = called.address
            words[1 : 1 + len(arguments)] = torch.tensor(_counted(arguments, counter))

    def run(self, num_rows: int) -> None:
        """Run all calls over the first ``num_rows`` rows."""
        self._words[:, 1] = num_rows
        self._counters.zero_()
        run(
            self._kernel,
            SequenceArguments(
                num_calls=len(self._words),
                calls=self._words.data_ptr(),
                counter=self._counters.data_ptr(),
            ),
        )
