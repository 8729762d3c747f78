"""Abilities of this processor on which the choice of a kernel hangs. Imports no Numba."""

from __future__ import annotations

import functools

import llvmlite.binding

_WIDTHS = (64, 32, 16)
"""Bytes in a vector register, the widest first."""


@functools.cache
def sums_bfloat16() -> bool:
    """Whether it sums products of bfloat16, in registers of all three widths."""
    features = llvmlite.binding.get_host_cpu_features()
    return bool(features.get("avx512bf16") and features.get("avx512vl"))


def width_for(length: int) -> int:
    """Bytes in a vector for rows of ``length`` bytes, a multiple of 16."""
    return next(width for width in _WIDTHS if length % width == 0)
