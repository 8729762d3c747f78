"""Object files that any process can load."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba import carray, njit, types

from serve.engine.transformers.kernels import machine_code, native

SYMBOLS = frozenset(native.SYMBOLS)


def object_file(function: Callable[[Any], None]) -> bytes:
    dispatcher = njit(types.void(types.voidptr), no_cpython_wrapper=True, no_cfunc_wrapper=True)(
        function
    )
    [(signature, compiled)] = dispatcher.overloads.items()
    name = compiled.fndesc.llvm_func_name
    return machine_code.object_file(dispatcher.inspect_llvm(signature), name, SYMBOLS)


def add_two(address: Any) -> None:
    numbers = carray(address, 2, dtype=np.int64)
    numbers[0] = numbers[1] + 2


def test_the_function_runs_from_its_object_file() -> None:
    code = machine_code.Code(object_file(add_two))
    numbers = np.array([0, 40])
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(code.address)(numbers.ctypes.data)
    assert numbers.tolist() == [42, 40]


def test_it_holds_nothing_of_numba() -> None:
    code = object_file(add_two)
    assert machine_code.ENTRY.encode() in code
    for stranger in (b"numba_", b"NRT_", b"Py"):
        assert stranger not in code


def allocate(address: Any) -> None:
    numbers = carray(address, 2, dtype=np.int64)
    numbers[0] = np.zeros(numbers[1]).sum()


def test_what_needs_numba_when_it_runs_is_refused() -> None:
    with pytest.raises(ValueError, match=r"A kernel calls NRT_.*, which only the process"):
        object_file(allocate)


_NEVER_FREES = """
declare void @NRT_MemInfo_call_dtor(ptr)
define i32 @kernel(ptr %result, ptr %error, ptr %arguments) {
  %memory = load ptr, ptr %arguments
  %is_owned = icmp ne ptr %memory, null
  br i1 %is_owned, label %free, label %end
free:
  call void @NRT_MemInfo_call_dtor(ptr %memory)
  br label %end
end:
  ret i32 0
}
"""


def test_a_way_to_free_what_no_kernel_owns_is_no_stranger() -> None:
    """Numba 0.68 leaves such ways in; 0.65, of the lock files, takes them out."""
    code = machine_code.Code(machine_code.object_file(_NEVER_FREES, "kernel", SYMBOLS))
    nothing = np.zeros(1, np.int64)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p)(code.address)(nothing.ctypes.data)
