"""The loops over panels at their ends: the longest sums, what is no number, parts in turn."""

from __future__ import annotations

import pytest
import torch

from serve.engine.transformers.kernels import native, panel_kernels, panels
from serve.engine.transformers.kernels.arguments import UnpackArguments
from serve.engine.transformers.kernels.native import Scratch
from tests.serve.engine.transformers.kernels.matrices import (
    EXACT,
    KINDS,
    distance,
    matrix,
    rounded,
)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("name", ["8 bits", "4 bits with zero points"])
def test_the_longest_sums_do_not_overflow(name: str) -> None:
    """All weights and all activations at their ends, with as many inputs as a 70B model has; and so
    many that rows are multiplied some at a time.
    """
    num_in = 28_672
    weight, meant = matrix(KINDS[name], 20, num_in, is_full=True)
    x = torch.full((21, num_in), -1.0)
    x[7:] = 1.0
    expected = x.double() @ meant.T
    assert distance(panels.multiply(weight, x), expected) < 1e-5
    assert distance(panels.multiply(weight, x[5:8]), expected[5:8]) < 1e-5


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("name", ["8 bits", "4 bits with zero points"])
def test_what_is_no_number_stays_in_its_row(name: str, value: float) -> None:
    weight, _ = matrix(KINDS[name], 40, 256)
    x = torch.randn(11, 256)
    for rows in (2, 6, 11):
        clean = panels.multiply(weight, x[:rows])
        broken = x[:rows].clone()
        broken[1, 77] = value
        result = panels.multiply(weight, broken)
        assert result[1].isnan().all()  # never a plausible number
        assert torch.equal(result[[0, *range(2, rows)]], clean[[0, *range(2, rows)]])


@pytest.mark.parametrize("name", ["8 bits", "4 bits with zero points"])
def test_rows_of_zeros_and_of_next_to_nothing(name: str) -> None:
    weight, meant = matrix(KINDS[name], 40, 64)
    assert torch.equal(panels.multiply(weight, torch.zeros(9, 64)), torch.zeros(9, 40))
    small = torch.randn(9, 64) * 1e-8
    assert distance(panels.multiply(weight, small), rounded(small) @ meant.T) < EXACT
    assert torch.isfinite(panels.multiply(weight, torch.full((9, 64), 1e-40))).all()
    assert torch.isfinite(panels.multiply(weight, torch.full((9, 64), 1e35))).all()


def test_parts_that_are_taken_cover_every_panel_once() -> None:
    """With a counter, parts are an eighth as large; what is added shows one that is done twice."""
    weight, _ = matrix(KINDS["8 bits"], 16 * 40 + 3, 64)
    x, before = torch.randn(5, 64), torch.randn(5, weight.num_out)
    results = []
    for counter in (None, torch.zeros(1, dtype=torch.int64)):
        out, scratch = before.clone(), Scratch(5, 64)
        arguments = weight.arguments(rows=x, out=out, scratch=scratch, adds=True, num_rows=5)
        if counter is not None:
            arguments = arguments._replace(counter=counter.data_ptr())
        native.run(weight.kernel, arguments)
        results.append(out)
    assert torch.equal(*results)
    assert counter.item() > torch.get_num_threads()


def test_some_panels_are_unpacked_and_nothing_beyond() -> None:
    weight, meant = matrix(KINDS["4 bits with zero points"], 48, 64)
    out = torch.full((33, 64), 7.0)
    arguments = UnpackArguments(
        num_in=64,
        num_panels=2,
        groups=weight.groups,
        weight=weight.weight[1].data_ptr(),
        scale=weight.scale[1].data_ptr(),
        out=out.data_ptr(),
    )
    native.run(panel_kernels.unpack(weight.form), arguments)
    assert torch.equal(out[:32].double(), meant[16:])
    assert torch.equal(out[32], torch.full((64,), 7.0))
