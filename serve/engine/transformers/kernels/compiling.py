"""The way from a function in Python to a kernel, by Numba.

Importing this module compiles nothing; a kernel is compiled when it is first asked for, in a second
or so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit, types

from serve.engine.transformers.kernels import native
from serve.engine.transformers.kernels.machine_code import object_file
from serve.engine.transformers.kernels.native import Kernel

_FREE = {"reassoc", "contract", "nsz"}
"""Freedom that LLVM has with floats: reorder sums and fuse. NaN and infinity stay what they are."""

compiled = njit(fastmath=_FREE, error_model="numpy", boundscheck=False)
exact = njit(error_model="numpy", boundscheck=False)


def kernel_of(takes: type[tuple[int, ...]]) -> Callable[[Callable[[Any], None]], Kernel]:
    """Compile a function of the address of such arguments.

    Raises:
        OSError, AttributeError: there are no threads for it, as ``native.pool`` says.
        ValueError: it calls what no other process has.
    """
    native.name_threads()
    compile_code = njit(
        types.void(types.voidptr),
        error_model="numpy",
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
    )

    def compile_kernel(function: Callable[[Any], None]) -> Kernel:
        dispatcher = compile_code(function)
        [(signature, compiled_as)] = dispatcher.overloads.items()
        code = object_file(
            dispatcher.inspect_llvm(signature),
            compiled_as.fndesc.llvm_func_name,
            frozenset(native.SYMBOLS),
        )
        return Kernel(code, takes)

    return compile_kernel
