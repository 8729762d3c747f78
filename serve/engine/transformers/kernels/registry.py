"""Every kernel by name. One that was compiled at an earlier start is loaded (``code_cache.py``).

Numba, and the modules of loops, are imported when the first has to be compiled. It takes a second
to import and may be missing, so that no other module of Python's side imports a module of loops.
A kernel is compiled in a second or so, and loaded in a millisecond.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from serve.engine.transformers.kernels import code_cache, native, processor
from serve.engine.transformers.kernels.arguments import (
    AttendArguments,
    GateArguments,
    NormArguments,
    ProductArguments,
    SequenceArguments,
    StoreArguments,
    UnpackArguments,
)
from serve.engine.transformers.kernels.layout import FloatKind, Form
from serve.engine.transformers.kernels.native import Kernel


@functools.cache
def has_bfloat16_products() -> bool:
    """Whether loops can be compiled here, and this processor sums products of bfloat16."""
    return native.is_available() and processor.sums_bfloat16()


def float_product(kind: FloatKind, num_in: int) -> Kernel:
    """The fastest product of a few rows with floats ``[out, num_in]``."""
    if kind == "bfloat16" and has_bfloat16_products():
        return _bfloat16_product(processor.width_for(2 * num_in))
    return _float_product(kind)


@functools.cache
def _bfloat16_product(width: int) -> Kernel:
    return _kept(
        f"bfloat16_product_{width}",
        ProductArguments,
        lambda: _loops("bfloat16_kernels").product(width),
    )


@functools.cache
def _float_product(kind: FloatKind) -> Kernel:
    return _kept(
        f"{kind}_widened_product", ProductArguments, lambda: _loops("float_kernels").product(kind)
    )


@functools.cache
def panel_product(form: Form) -> Kernel:
    """The product of rows with panels of this form."""
    return _kept(
        f"panel_product_{_name(form)}",
        ProductArguments,
        lambda: _loops("panel_kernels").product(form),
    )


@functools.cache
def panel_unpacking(form: Form) -> Kernel:
    """The way from panels back to weights."""
    return _kept(
        f"panel_unpacking_{_name(form)}",
        UnpackArguments,
        lambda: _loops("panel_kernels").unpack(form),
    )


@functools.cache
def norm() -> Kernel:
    """RMSNorm."""
    return _kept("norm", NormArguments, lambda: _loops("layer_kernels").norm())


@functools.cache
def gate() -> Kernel:
    """``silu(gate) * up``."""
    return _kept("gate", GateArguments, lambda: _loops("layer_kernels").gate())


@functools.cache
def store(*, is_bfloat16: bool) -> Kernel:
    """Rotated keys, and values, into a KV cache of bfloat16 or float32."""
    return _kept(
        f"store_{_cache_type(is_bfloat16)}",
        StoreArguments,
        lambda: _loops("store_kernels").store(is_bfloat16=is_bfloat16),
    )


@functools.cache
def attend(*, is_bfloat16: bool, group: int) -> Kernel:
    """Attention of one token for each row, over such a cache; ``group`` heads share its heads."""
    lanes = processor.float_lanes()
    return _kept(
        f"attend_{_cache_type(is_bfloat16)}_{group}_{lanes}",
        AttendArguments,
        lambda: _loops("attention_kernels").attend(
            is_bfloat16=is_bfloat16, group=group, lanes=lanes
        ),
    )


@functools.cache
def sequence() -> Kernel:
    """The one that calls the others."""
    return _kept("sequence", SequenceArguments, lambda: _loops("layer_kernels").sequence())


def _kept(name: str, takes: type[tuple[int, ...]], compiled: Callable[[], Kernel]) -> Kernel:
    """The kernel as it was kept, or compiled now and kept for the next start."""
    code = code_cache.read(name)
    if code is not None:
        return Kernel(code, takes)
    kernel = compiled()
    code_cache.write(name, kernel.object_file)
    return kernel


def _loops(module: str) -> Any:
    """The module of loops of this name; it imports Numba."""
    return importlib.import_module(f"{__package__}.{module}")


def _name(form: Form) -> str:
    zeros = "zeros" if form.has_zeros else "symmetric"
    return f"int{form.bits}_{zeros}_{8 * form.scale_bytes}"


def _cache_type(is_bfloat16: bool) -> str:
    return "bfloat16" if is_bfloat16 else "float32"
