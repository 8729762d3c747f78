"""Which kernel multiplies what, and that each is compiled once."""

from __future__ import annotations

import pytest

from serve.engine.transformers.kernels import (
    bfloat16_dot,
    bfloat16_kernels,
    float_kernels,
    native,
    registry,
)
from serve.engine.transformers.kernels.arguments import GateArguments, ProductArguments


@pytest.fixture(autouse=True)
def _ask_anew():
    registry.has_bfloat16_products.cache_clear()
    yield
    registry.has_bfloat16_products.cache_clear()


def test_bfloat16_is_multiplied_by_its_own_instruction_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bfloat16_dot, "is_available", lambda: True)
    monkeypatch.setattr(bfloat16_kernels, "product", lambda width: f"bfloat16 by {width}")
    assert registry.float_product("bfloat16", 96) == "bfloat16 by 64"
    assert registry.float_product("bfloat16", 48) == "bfloat16 by 32"
    assert registry.float_product("float32", 96) is float_kernels.product("float32")


def test_elsewhere_it_is_widened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bfloat16_dot, "is_available", lambda: False)
    monkeypatch.setattr(float_kernels, "product", lambda kind: f"widened {kind}")
    assert registry.float_product("bfloat16", 96) == "widened bfloat16"


def test_without_loops_there_are_no_products_of_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bfloat16_dot, "is_available", lambda: True)
    monkeypatch.setattr(native, "is_available", lambda: False)
    assert not registry.has_bfloat16_products()


def test_a_kernel_is_compiled_once_and_knows_its_arguments() -> None:
    assert registry.gate() is registry.gate()
    assert registry.gate().takes is GateArguments
    assert registry.float_product("float32", 32).takes is ProductArguments
