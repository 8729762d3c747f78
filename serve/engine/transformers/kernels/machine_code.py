"""Machine code of a kernel: an object file that knows nothing of the process that compiled it.

Numba compiles a function for its own use: the function, wrappers that Python calls it through, and
what they need of Numba at run time. Here the function alone is kept, behind an entry of one
argument, so that another process can load it without Numba (``code_cache.py``). It calls nothing
but ``SYMBOLS`` and what LLVM makes of plain loops.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from serve.engine.transformers.kernels import processor
from serve.engine.transformers.kernels.processor import llvm

ENTRY = "intramural_kernel"
_OF_THE_C_LIBRARY = frozenset({"memcpy", "memmove", "memset", "sqrtf"})
_STATUS_NONE = -2
"""Numba's status of a function that returns nothing; 0 is that of one that returns something."""
_WRAPPER = f"""
declare i32 @"{{name}}"(ptr, ptr, ptr)
declare void @llvm.trap()
define void @{ENTRY}(ptr %arguments) {{{{
  %result = alloca ptr
  %error = alloca ptr
  %status = call i32 @"{{name}}"(ptr %result, ptr %error, ptr %arguments)
  %is_zero = icmp eq i32 %status, 0
  %is_none = icmp eq i32 %status, {_STATUS_NONE}
  %is_fine = or i1 %is_zero, %is_none
  br i1 %is_fine, label %fine, label %raised
raised:
  call void @llvm.trap()
  unreachable
fine:
  ret void
}}}}
define void @NRT_MemInfo_call_dtor(ptr %memory) {{{{
  call void @llvm.trap()
  unreachable
}}}}
"""
"""The entry, and what frees Numba's memory, to which some of its versions leave ways that no kernel
goes. A kernel raises nothing and owns no memory; one that did would end the process rather than go
on wrongly.
"""


class Code:
    """Machine code in memory, ready to run.

    Args:
        object_file: as ``object_file`` made it, on a processor of this kind.

    Attributes:
        address: of ``void (int64 *arguments)``; good while this lives.
    """

    def __init__(self, object_file: bytes) -> None:
        _start_llvm()
        self._engine = llvm().create_mcjit_compiler(llvm().parse_assembly(""), _target_machine())
        self._engine.add_object_file(llvm().ObjectFileRef.from_data(object_file))
        self._engine.finalize_object()
        self.address: int = self._engine.get_function_address(ENTRY)


def add_symbols(addresses: Mapping[str, int]) -> None:
    """Say where the functions are that kernels call by name."""
    for name, address in addresses.items():
        llvm().add_symbol(name, address)


def object_file(assembly: str, name: str, symbols: frozenset[str]) -> bytes:
    """Compile one function of a module, and what it calls there.

    Args:
        assembly: LLVM's, of the whole module, optimised.
        name: of the function, as Numba calls it: ``i32 (void **, excinfo **, int64 *arguments)``.
        symbols: names of functions outside that it may call.

    Raises:
        ValueError: it calls others, which a process that loads it would not have.
    """
    _start_llvm()
    module = llvm().parse_assembly(assembly)
    module.link_in(llvm().parse_assembly(_WRAPPER.format(name=name)))
    for each in (*module.functions, *module.global_variables):
        if not each.is_declaration and each.name != ENTRY:
            each.linkage = "internal"
    machine = _target_machine()
    passes = llvm().create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, llvm().create_pass_builder(machine, llvm().create_pipeline_tuning_options()))
    module.verify()
    _refuse_strangers(module, symbols)
    code: bytes = machine.emit_object(module)
    return code


def _refuse_strangers(module: Any, symbols: frozenset[str]) -> None:
    needed = [
        each.name
        for each in (*module.functions, *module.global_variables)
        if each.is_declaration and not each.name.startswith("llvm.")
    ]
    strangers = sorted(set(needed) - symbols - _OF_THE_C_LIBRARY)
    if strangers:
        raise ValueError(
            f"A kernel calls {', '.join(strangers)}, which only the process that compiled it has. "
            f"Kernels call nothing but {', '.join(sorted(symbols))}."
        )


@functools.cache
def _start_llvm() -> None:
    llvm().initialize_native_target()
    llvm().initialize_native_asmprinter()


def _target_machine() -> Any:
    name, features = processor.identity()
    target = llvm().Target.from_default_triple()
    return target.create_target_machine(
        opt=3, cpu=name, features=features, codemodel="jitdefault", reloc="default", jit=True
    )
