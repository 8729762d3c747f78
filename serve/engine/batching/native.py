"""Loops of our own, compiled when the server starts, on the threads that torch computes with.

torch multiplies stored integers well where the processor has instructions for it (AVX-512 VNNI,
AMX), and has no product over 4-bit weights that also unpacks them quickly for many rows. Numba
compiles the few loops that are missing (``kernels.py``) for whatever vector registers there are.
They run in torch's OpenMP pool, entered through the very libgomp that torch brings: a second pool
would fight the first for the cores, and one that spins while it waits would halve both.

Where Numba or that library is missing, ``is_available`` says no, and tiles are unpacked by torch's
own operators: the same results, slower.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from pathlib import Path
from typing import Protocol

import torch

_POOL = Path(torch.__file__).parent / "lib" / "libgomp.so.1"


MOST_LEVELS = 32_767
"""Of a row's 16-bit integers, on each side of zero."""
_LANES = 16
"""As in ``vector_dot.py``, which is imported with Numba only."""


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


def run(kernel: Kernel, *arguments: int) -> None:
    """Run ``kernel`` on as many threads as torch uses, and wait for it.

    Args:
        arguments: sizes, and addresses (``Tensor.data_ptr()``) of contiguous tensors on the CPU
        that
            live until this returns. Nothing checks them.
    """
    block = (ctypes.c_int64 * len(arguments))(*arguments)
    pool().enter(kernel.address, ctypes.addressof(block), torch.get_num_threads(), 0)


def few_rows(
    kernel: Kernel,
    x: torch.Tensor,
    num_out: int,
    groups: int,
    levels: float,
    *,
    weight: torch.Tensor,
    scale: torch.Tensor,
) -> torch.Tensor:
    """float32 ``[N, out]``: one of the products of ``kernels.py``, which says what is what."""
    rows = x.float().contiguous()
    num_rows, num_in = rows.shape
    result = rows.new_empty(num_rows, num_out)
    threads = torch.get_num_threads()
    whole = rows.new_empty(threads, num_rows, num_in, dtype=torch.int16)
    factors = rows.new_empty(threads, num_rows)
    tensors = (weight, scale, rows, result, whole, factors)
    addresses = (tensor.data_ptr() for tensor in tensors)
    run(kernel, num_rows, num_in, num_out, groups, int(levels), *addresses)
    return result


def groups_of(num_in: int, largest: int) -> int | None:
    """The least number of equal groups of at most ``largest``, a multiple of 16; or None."""
    for groups in range(-(-num_in // largest), num_in // _LANES + 1):
        if num_in % (groups * _LANES) == 0:
            return groups
    return None
