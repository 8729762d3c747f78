"""Which kernel multiplies what, that each is compiled once, and that it is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from serve.engine.transformers.kernels import code_cache, native, processor, registry
from serve.engine.transformers.kernels.arguments import GateArguments, ProductArguments
from tests.house.tree import ROOT


@pytest.fixture(autouse=True)
def _ask_anew():
    registry.has_bfloat16_products.cache_clear()
    yield
    registry.has_bfloat16_products.cache_clear()


def test_bfloat16_is_multiplied_by_its_own_instruction_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processor, "sums_bfloat16", lambda: True)
    monkeypatch.setattr(registry, "_bfloat16_product", lambda width: f"bfloat16 by {width}")
    monkeypatch.setattr(registry, "_float_product", lambda kind: f"widened {kind}")
    assert registry.float_product("bfloat16", 96) == "bfloat16 by 64"
    assert registry.float_product("bfloat16", 48) == "bfloat16 by 32"
    assert registry.float_product("float32", 96) == "widened float32"


def test_elsewhere_it_is_widened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "sums_bfloat16", lambda: False)
    monkeypatch.setattr(registry, "_float_product", lambda kind: f"widened {kind}")
    assert registry.float_product("bfloat16", 96) == "widened bfloat16"


def test_without_loops_there_are_no_products_of_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "sums_bfloat16", lambda: True)
    monkeypatch.setattr(native, "is_available", lambda: False)
    assert not registry.has_bfloat16_products()


def test_a_kernel_is_made_once_and_knows_its_arguments() -> None:
    assert registry.gate() is registry.gate()
    assert registry.gate().takes is GateArguments
    assert registry.float_product("float32", 32).takes is ProductArguments


_PROGRAM = """
import sys
import torch
from serve.engine.transformers.kernels import native, registry
from serve.engine.transformers.kernels.arguments import GateArguments
both, out = torch.arange(8.0).view(1, 2, 4), torch.empty(1, 4)
numbers = dict(num_rows=1, size=4, both=both.data_ptr(), out=out.data_ptr())
native.run(registry.gate(), GateArguments(**numbers))
print("numba" in sys.modules, out.tolist())
"""


def test_a_second_process_loads_what_the_first_one_compiled(tmp_path: Path) -> None:
    def run() -> str:
        ran = subprocess.run(
            [sys.executable, "-c", _PROGRAM],
            cwd=ROOT,
            env=os.environ | {"XDG_CACHE_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return ran.stdout

    first, second = run(), run()
    assert first.startswith("True [[")
    assert second.startswith("False [[")
    assert first.partition(" ")[2] == second.partition(" ")[2]


def test_a_kernel_that_was_kept_is_not_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    code = registry.gate().object_file
    monkeypatch.setattr(code_cache, "read", {"gate": code}.get)
    monkeypatch.setattr(code_cache, "write", lambda *_: pytest.fail("it was kept already"))
    kernel = registry._kept("gate", GateArguments, lambda: pytest.fail("it was compiled"))
    assert kernel.address != registry.gate().address
