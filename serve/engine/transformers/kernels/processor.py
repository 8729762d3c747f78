"""Abilities of this processor on which the choice of a kernel hangs, as LLVM knows them.

LLVM is imported when it is first asked for. vLLM's CPU build looks into every module that is
imported as its workers start, and fails at llvmlite's (vLLM 0.32).
"""

from __future__ import annotations

import functools
from typing import Any

_WIDTHS = (64, 32, 16)
"""Bytes in a vector register, the widest first."""


def llvm() -> Any:
    """``llvmlite.binding``."""
    import llvmlite.binding  # noqa: PLC0415 - see above

    return llvmlite.binding


def identity() -> tuple[str, str]:
    """LLVM's name of this processor, and all that it can do."""
    return llvm().get_host_cpu_name(), llvm().get_host_cpu_features().flatten()


@functools.cache
def sums_bfloat16() -> bool:
    """Whether it sums products of bfloat16, in registers of all three widths."""
    features = llvm().get_host_cpu_features()
    return bool(features.get("avx512bf16") and features.get("avx512vl"))


def width_for(length: int) -> int:
    """Bytes in a vector for rows of ``length`` bytes, a multiple of 16."""
    return next(width for width in _WIDTHS if length % width == 0)


@functools.cache
def float_lanes() -> int:
    """Float32 in one of its vector registers: 16, or 8 where they are no wider or it has half."""
    return 16 if llvm().get_host_cpu_features().get("avx512f") else 8
