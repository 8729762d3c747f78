"""What the choice of a kernel asks of a processor."""

from __future__ import annotations

import llvmlite.binding
import pytest

from serve.engine.transformers.kernels import processor


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
