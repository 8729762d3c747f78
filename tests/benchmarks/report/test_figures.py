"""Every figure has a label, a direction and a place in the docs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.report.figures import KINDS


def test_every_figure_has_a_label_a_direction_and_its_place_in_the_docs() -> None:
    page = (Path(__file__).parents[3] / "docs/benchmarks.md").read_text("utf-8")
    for name, kind in KINDS.items():
        stem = re.sub(r"_(p\d+|mean)$", "", name)
        assert f"`{stem}`" in page, f"docs/benchmarks.md does not have {stem}"
        assert kind.label
        assert kind.meaning


@pytest.mark.parametrize(
    ("figure", "value", "text"),
    [
        ("mbu", 0.1234, "12.3%"),
        ("ttft_ms_p50", 1.234, "1.23"),
        ("ttft_ms_p50", 12.34, "12.3"),
        ("output_tokens_s", 12345.6, "12,346"),
        ("output_tokens_s", 0.0, "0.00"),
        ("decode_tokens_s", -123.4, "-123"),
    ],
)
def test_three_digits_that_count(figure: str, value: float, text: str) -> None:
    assert KINDS[figure].text(value) == text


def test_rates_are_better_larger_and_times_smaller() -> None:
    for name, kind in KINDS.items():
        if kind.unit in ("tok/s", "1/s") and name != "offered_s":  # which the client chooses
            assert kind.better == "more", name
        if kind.unit == "ms":
            assert kind.better == "less", name
