"""Sizes of panels: what one holds of a block and of a group, by bits and zero points."""

from __future__ import annotations

import pytest

from serve.engine.transformers.kernels.layout import BLOCK, LANES, PANEL, Form


@pytest.mark.parametrize(
    ("form", "zero", "block_bytes", "entry_bytes"),
    [
        (Form(8), 128, 16 * 32, 16 * 2),
        (Form(8, scale_bytes=4), 128, 16 * 32, 16 * 4),
        (Form(4), 8, 16 * 16, 16 * 2),
        (Form(4, has_zeros=True), 1, 16 * 16, 16 * 3),
        (Form(4, has_zeros=True, scale_bytes=4), 1, 16 * 16, 16 * 5),
    ],
)
def test_sizes(form: Form, zero: int, block_bytes: int, entry_bytes: int) -> None:
    assert (form.zero, form.block_bytes, form.entry_bytes) == (zero, block_bytes, entry_bytes)


def test_forms_name_compiled_kernels() -> None:
    """Equal ones are one key, so that each form is compiled once."""
    assert len({Form(4), Form(4, has_zeros=False, scale_bytes=2), Form(4, True), Form(8)}) == 3


def test_a_block_is_whole_vectors() -> None:
    assert BLOCK % LANES == 0
    assert PANEL == LANES
