"""What the choice of a kernel asks of a processor."""

from __future__ import annotations

import subprocess
import sys

import llvmlite.binding
import pytest

from serve.engine.transformers.kernels import processor
from tests.house.tree import ROOT


@pytest.mark.parametrize(
    ("length", "width"), [(64, 64), (128, 64), (96, 32), (32, 32), (16, 16), (144, 16)]
)
def test_rows_are_whole_vectors_of_the_widest_kind(length: int, width: int) -> None:
    assert processor.width_for(length) == width


@pytest.mark.parametrize(
    ("features", "sums_bfloat16"),
    [
        ({"avx512bf16": True, "avx512vl": True}, True),
        ({"avx512bf16": True, "avx512vl": False}, False),  # no registers of 32 bytes
        ({"avx512f": True, "avx512vl": True}, False),
        ({}, False),
    ],
)
def test_the_instruction_is_there_for_all_widths_or_not(
    monkeypatch: pytest.MonkeyPatch, features: dict[str, bool], sums_bfloat16: bool
) -> None:
    monkeypatch.setattr(llvmlite.binding, "get_host_cpu_features", lambda: features)
    assert processor.sums_bfloat16.__wrapped__() is sums_bfloat16


def test_what_is_asked_of_a_processor_is_its_name_and_all_it_can_do() -> None:
    name, features = processor.identity()
    assert name
    assert "+" in features


def test_llvm_is_not_imported_with_the_kernels() -> None:
    """vLLM's CPU build fails in a process that has imported it."""
    program = (
        "import sys; from serve.engine.transformers.kernels import native, registry\n"
        "print(native.is_available(), 'llvmlite' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout == "True False\n"
