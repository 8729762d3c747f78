"""Every kernel by name. Numba, and what it compiles, is imported when the first is asked for.

It takes a second to import and may be missing, so that no other module of Python's side imports a
module of loops. Each kernel is compiled once, in a second or so.
"""

from __future__ import annotations

import functools

from serve.engine.transformers.kernels import native
from serve.engine.transformers.kernels.layout import FloatKind, Form
from serve.engine.transformers.kernels.native import Kernel


@functools.cache
def has_bfloat16_products() -> bool:
    """Whether loops can be compiled here, and this processor sums products of bfloat16."""
    if not native.is_available():
        return False
    from serve.engine.transformers.kernels import bfloat16_dot  # noqa: PLC0415 - Numba

    return bfloat16_dot.is_available()


def float_product(kind: FloatKind, num_in: int) -> Kernel:
    """The fastest product of a few rows with floats ``[out, num_in]``."""
    if kind == "bfloat16" and has_bfloat16_products():
        from serve.engine.transformers.kernels import bfloat16_dot, bfloat16_kernels  # noqa: PLC0415 - Numba

        return bfloat16_kernels.product(bfloat16_dot.width_for(2 * num_in))
    from serve.engine.transformers.kernels import float_kernels  # noqa: PLC0415 - Numba

    return float_kernels.product(kind)


def panel_product(form: Form) -> Kernel:
    """The product of rows with panels of this form."""
    from serve.engine.transformers.kernels import panel_kernels  # noqa: PLC0415 - Numba

    return panel_kernels.product(form)


def panel_unpacking(form: Form) -> Kernel:
    """The way from panels back to weights."""
    from serve.engine.transformers.kernels import panel_kernels  # noqa: PLC0415 - Numba

    return panel_kernels.unpack(form)


def norm() -> Kernel:
    """RMSNorm."""
    from serve.engine.transformers.kernels import layer_kernels  # noqa: PLC0415 - Numba

    return layer_kernels.norm()


def gate() -> Kernel:
    """``silu(gate) * up``."""
    from serve.engine.transformers.kernels import layer_kernels  # noqa: PLC0415 - Numba

    return layer_kernels.gate()


def store(*, is_bfloat16: bool) -> Kernel:
    """Rotated keys, and values, into a KV cache of bfloat16 or float32."""
    from serve.engine.transformers.kernels import attention_kernels  # noqa: PLC0415 - Numba

    return attention_kernels.store(is_bfloat16=is_bfloat16)


def attend(*, is_bfloat16: bool) -> Kernel:
    """Attention of one token for each row, over such a cache."""
    from serve.engine.transformers.kernels import attention_kernels  # noqa: PLC0415 - Numba

    return attention_kernels.attend(is_bfloat16=is_bfloat16)


def sequence() -> Kernel:
    """The one that calls the others."""
    from serve.engine.transformers.kernels import layer_kernels  # noqa: PLC0415 - Numba

    return layer_kernels.sequence()
