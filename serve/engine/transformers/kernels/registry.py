"""Every kernel by name. One that was compiled at an earlier start is loaded (``code_cache.py``).

Numba, and the modules of loops, are imported when the first has to be compiled. It takes a second
to import and may be missing, so that no other module of Python's side imports a module of loops.
A kernel is compiled in a second or so, and loaded in a millisecond.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

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
    def compiled() -> Kernel:
        from serve.engine.transformers.kernels import bfloat16_kernels  # noqa: PLC0415 - Numba

        return bfloat16_kernels.product(width)

    return _kept(f"bfloat16_product_{width}", ProductArguments, compiled)


@functools.cache
def _float_product(kind: FloatKind) -> Kernel:
    def compiled() -> Kernel:
        from serve.engine.transformers.kernels import float_kernels  # noqa: PLC0415 - Numba

        return float_kernels.product(kind)

    return _kept(f"{kind}_widened_product", ProductArguments, compiled)


@functools.cache
def panel_product(form: Form) -> Kernel:
    """The product of rows with panels of this form."""

    def compiled() -> Kernel:
        from serve.engine.transformers.kernels import panel_kernels  # noqa: PLC0415 - Numba

        return panel_kernels.product(form)

    return _kept(f"panel_product_{_name(form)}", ProductArguments, compiled)


@functools.cache
def panel_unpacking(form: Form) -> Kernel:
    """The way from panels back to weights."""

    def compiled() -> Kernel:
        from serve.engine.transformers.kernels import panel_kernels  # noqa: PLC0415 - Numba

        return panel_kernels.unpack(form)

    return _kept(f"panel_unpacking_{_name(form)}", UnpackArguments, compiled)


@functools.cache
def norm() -> Kernel:
    """RMSNorm."""

    def compiled() -> Kernel:
        from serve.engine.transformers.kernels import layer_kernels  # noqa: PLC0415 - Numba

        return layer_kernels.norm()

    return _kept("norm", NormArguments, compiled)


@functools.cache
def gate() -> Kernel:
    """``silu(gate) * up``."""

    def compiled() -> Kernel:
        from serve.engine.transformers.kernels import layer_kernels  # noqa: PLC0415 - Numba

        return layer_kernels.gate()

    return _kept("gate", GateArguments, compiled)


@functools.cache
def store(*, is_bfloat16: bool) -> Kernel:
    """Rotated keys, and values, into a KV cache of bfloat16 or float32."""

    def compiled() -> Kernel:
        from serve.engine.transformers.kernels import attention_kernels  # noqa: PLC0415 - Numba

        return attention_kernels.store(is_bfloat16=is_bfloat16)

    return _kept(f"store_{_cache_type(is_bfloat16)}", StoreArguments, compiled)


@functools.cache
def attend(*, is_bfloat16: bool) -> Kernel:
    """Attention of one token for each row, over such a cache."""

    def compiled() -> Kernel:
        from serve.engine.transformers.kernels import attention_kernels  # noqa: PLC0415 - Numba

        return attention_kernels.attend(is_bfloat16=is_bfloat16)

    return _kept(f"attend_{_cache_type(is_bfloat16)}", AttendArguments, compiled)


@functools.cache
def sequence() -> Kernel:
    """The one that calls the others."""

    def compiled() -> Kernel:
        from serve.engine.transformers.kernels import layer_kernels  # noqa: PLC0415 - Numba

        return layer_kernels.sequence()

    return _kept("sequence", SequenceArguments, compiled)


def _kept(name: str, takes: type[tuple[int, ...]], compiled: Callable[[], Kernel]) -> Kernel:
    """The kernel as it was kept, or compiled now and kept for the next start."""
    code = code_cache.read(name)
    if code is not None:
        return Kernel(code, takes)
    kernel = compiled()
    code_cache.write(name, kernel.object_file)
    return kernel


def _name(form: Form) -> str:
    zeros = "zeros" if form.has_zeros else "symmetric"
    return f"int{form.bits}_{zeros}_{8 * form.scale_bytes}"


def _cache_type(is_bfloat16: bool) -> str:
    return "bfloat16" if is_bfloat16 else "float32"
