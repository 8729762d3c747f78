"""What --quant and --scheme may say."""

from __future__ import annotations

import re

import pytest

from models.refs import QuantScheme
from quantize.errors import OptionError
from quantize.plan.candidates import FUSED
from quantize.plan.choices import (
    BY_QUALITY,
    NAMED,
    SENSITIVE,
    SUMMARIES,
    VARIANTS,
    Choice,
    budget_of,
)


@pytest.mark.parametrize("choice", NAMED, ids=str)
def test_a_choice_is_read_as_it_is_written(choice: Choice) -> None:
    assert Choice.parse(str(choice)) == choice


def test_every_choice_but_full_weights_has_a_line_of_help() -> None:
    assert set(SUMMARIES) == {*map(str, NAMED)} - {"none"}


@pytest.mark.parametrize("text", ["", "INT8", "int4-up", "int8-down", "int5", " int8"])
def test_an_unknown_name_is_an_error_that_lists_those_that_there_are(text: str) -> None:
    with pytest.raises(OptionError) as error:
        Choice.parse(text)
    assert all(str(choice) in str(error.value) for choice in NAMED)
    assert "auto:6GB" in str(error.value)


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [
        ("auto:6GB", 6 * 10**9),
        ("auto:6gib", 6 << 30),
        ("auto:1.5 MB", 1_500_000),
        ("auto:900MiB", 900 << 20),
        ("auto:4096", 4096),
        ("auto:7B", 7),
        ("int8", None),
        ("auto", None),
    ],
)
def test_a_budget_is_bytes(text: str, num_bytes: int | None) -> None:
    assert budget_of(text) == num_bytes


@pytest.mark.parametrize("text", ["auto:", "auto:0GB", "auto:-1GB", "auto:6TB", "auto:0.1B"])
def test_a_budget_of_no_size_says_what_to_write(text: str) -> None:
    with pytest.raises(OptionError, match=r"names no size; write auto:6GB, auto:6GiB or"):
        budget_of(text)


def test_by_quality_begins_with_full_weights_and_ends_with_the_smallest() -> None:
    assert [str(choice) for choice in BY_QUALITY] == ["none", "int8", "int4-down", "int4"]
    assert BY_QUALITY[0].scheme is QuantScheme.NONE


@pytest.mark.parametrize("pattern", VARIANTS.values())
def test_layers_that_engines_join_are_sensitive_together(pattern: str) -> None:
    for group in FUSED:
        matches = {bool(re.search(pattern, f"model.layers.0.x.{name}")) for name in group}
        assert len(matches) == 1


def test_the_usual_sensitive_layers_are_the_projections_of_attention() -> None:
    for name, is_sensitive in (("q_proj", True), ("o_proj", True), ("down_proj", False)):
        assert bool(re.search(SENSITIVE, f"model.layers.0.{name}")) is is_sensitive
    assert re.search(VARIANTS["down"], "model.layers.0.mlp.down_proj")
    assert not re.search(VARIANTS["down"], "model.layers.0.mlp.gate_proj")
