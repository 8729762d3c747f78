"""Products with panels, against float64: every form, few rows and many, whole panels and parts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from serve.engine.transformers.kernels import byte_sums, native, panel_dot, panel_kernels, panels
from serve.engine.transformers.kernels.panels import PANEL
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


@pytest.mark.parametrize("num_out", [7, 48, 83])
@pytest.mark.parametrize("name", KINDS)
def test_products_are_exact_of_rounded_rows(name: str, num_out: int) -> None:
    weight, meant = matrix(KINDS[name], num_out, 256)
    x = rows_of(130, 256)
    bias, before = torch.randn(num_out), torch.randn(130, num_out)
    expected = rounded(x) @ meant.T
    alone = [panels.multiply(weight, row[None]) for row in x[:9]]
    for rows in (1, 2, 3, 4, 5, 6, 7, 8, 9, 64, 130):
        result = panels.multiply(weight, x[:rows])
        assert distance(result, expected[:rows]) < EXACT
        for row in range(min(rows, 9)):  # whatever else is in the step
            assert torch.equal(result[row], alone[row][0])
        added = run(weight.kernel, weight, x[:rows], bias=bias, to=before[:rows])
        whole = expected[:rows] + bias.double() + before[:rows].double()
        assert distance(added, whole) < EXACT
        assert distance(run(weight.kernel, weight, x[:rows], bias=bias), whole - before[:rows]) < (
            EXACT
        )


@pytest.mark.parametrize("name", KINDS)
def test_weights_come_back_as_they_were(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    weight, meant = matrix(KINDS[name], 83, 256)
    meant = meant.float()
    some = torch.tensor([82, 0, 15, 16, 16, 47])
    assert torch.equal(panels.rows_of(weight, some), meant[some])
    bounds = ((0, 83), (0, 16), (16, 20), (32, 83), (80, 83))
    compiled = [panels.rows_between(weight, *span) for span in bounds]
    monkeypatch.setattr(native, "is_available", lambda: False)
    for span, by_loop in zip(bounds, compiled, strict=True):
        assert torch.equal(by_loop, meant[slice(*span)])
        assert torch.equal(panels.rows_between(weight, *span), by_loop)


@given(
    name=st.sampled_from(["8 bits", "4 bits with zero points"]),
    num_out=st.integers(1, 70),
    blocks=st.integers(1, 6),
    rows=st.integers(1, 21),
    seed=st.integers(0, 1000),
    is_shared=st.booleans(),
)
def test_any_size(
    *, name: str, num_out: int, blocks: int, rows: int, seed: int, is_shared: bool
) -> None:
    weight, meant = matrix(KINDS[name], num_out, 32 * blocks, seed=seed)
    x = torch.randn(rows, 32 * blocks, generator=torch.Generator().manual_seed(seed))
    result = run(weight.kernel, weight, x, is_shared=is_shared)
    expected = rounded(x) @ meant.T
    torch.testing.assert_close(result.double(), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(panels.rows_between(weight, 0, num_out).double(), meant)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("name", ["8 bits", "4 bits with zero points"])
def test_threads_share_the_outputs_without_a_gap(name: str, threads: int) -> None:
    weight, meant = matrix(KINDS[name], 83, 64)
    x = torch.randn(21, 64)
    alone = panels.multiply(weight, x)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for rows in (1, 5, 21):
            assert torch.equal(panels.multiply(weight, x[:rows]), alone[:rows])
        assert torch.equal(panels.rows_between(weight, 0, 83).double(), meant)
    finally:
        torch.set_num_threads(before)


def test_groups_that_are_no_whole_blocks_are_refused() -> None:
    stored = torch.zeros(4, 96, dtype=torch.uint8)
    for num_groups in (2, 6):
        with pytest.raises(ValueError, match=f"{num_groups} groups of 96 inputs are no whole"):
            panels.of_int8(stored, torch.ones(4, num_groups))
    with pytest.raises(ValueError, match="no whole blocks of 32"):
        panels.of_int4(stored[:, :40], torch.ones(4, 1), None)


def test_what_is_held() -> None:
    weight, _ = matrix(KINDS["4 bits with zero points"], 40, 256)
    entries = 48 * 256 // 32  # outputs are filled up to whole panels
    assert weight.stored_bytes() == 48 * 256 // 2 + 3 * entries
    weight, _ = matrix(KINDS["8 bits"], 48, 256)
    assert weight.stored_bytes() == 48 * 256 + 2 * entries
    assert (panels.PANEL, panels.BLOCK) == (byte_sums.PANEL, panel_dot.BLOCK)
    assert panel_kernels._ROWS * panel_kernels._PANELS * PANEL <= native.SUMS
