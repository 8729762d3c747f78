"""Sums of products of bytes, by every instruction that this processor has."""

from __future__ import annotations

import llvmlite.binding
import pytest
import torch
from llvmlite.binding import get_host_cpu_features

from serve.engine.transformers.kernels import byte_sums, panel_dot, panel_kernels, panels, registry
from tests.serve.engine.transformers.kernels.matrices import (
    EXACT,
    KINDS,
    distance,
    matrix,
    rounded,
    rows_of,
    run,
)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("features", "instruction"),
    [
        ({"avx512vnni": True, "avxvnni": True}, "avx512vnni"),
        ({"avx512vnni": False, "avxvnni": True}, "avxvnni"),
        ({"avx2": True}, "none"),
        ({}, "none"),
    ],
)
def test_the_widest_instruction_is_taken(
    monkeypatch: pytest.MonkeyPatch, features: dict[str, bool], instruction: str
) -> None:
    monkeypatch.setattr(llvmlite.binding, "get_host_cpu_features", lambda: features)
    assert byte_sums.instruction.__wrapped__() == instruction


@pytest.mark.parametrize(
    ("name", "instruction"),
    [("8 bits", "avxvnni"), ("8 bits", "none"), ("4 bits with zero points", "none")],
)
def test_every_instruction_gives_the_same(
    name: str, instruction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit: sums are of integers, and floats are added in one order."""
    if instruction == byte_sums.instruction():
        pytest.skip("it is what all other tests run on")
    if instruction != "none" and not get_host_cpu_features().get(instruction):
        pytest.skip(f"this processor has no {instruction}")
    weight, meant = matrix(KINDS[name], 83, 160)
    registry.panel_product(weight.form)  # before the patch: what is compiled is kept
    monkeypatch.setattr(byte_sums, "instruction", lambda: instruction)
    monkeypatch.setattr(panel_kernels, "dots", panel_dot.dots.__wrapped__)
    kernel = panel_kernels.product.__wrapped__(weight.form)
    for rows in (1, 6, 9):
        x = rows_of(rows, 160)
        result = run(kernel, weight, x)
        assert torch.equal(result, panels.multiply(weight, x))
        assert distance(result, rounded(x) @ meant.T) < EXACT
