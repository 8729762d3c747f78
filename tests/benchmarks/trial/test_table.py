"""A trial for people."""

from __future__ import annotations

import pytest

from benchmarks.trial import table
from benchmarks.trial.findings import Check, Findings, Outcome, judged


def checks(outcomes: str) -> list[Check]:
    """``+`` known, ``~`` weak; of questions a, b, c, ..."""
    return [
        Check(name=name, outcome=Outcome.OK if mark == "+" else Outcome.WEAK, said="so")
        for name, mark in zip("abcdefgh", outcomes, strict=False)
    ]


def found(outcomes: str, *, scheme: str = "int8", **more) -> Findings:
    return Findings(engine="transformers", scheme=scheme, checks=checks(outcomes), **more)


def test_people_read_what_was_lost_and_what_was_said():
    lost = judged(found("~+"), found("++", scheme="none"))
    refused = Findings(engine="vllm", scheme="fp8", refused="fp8 does not run there")
    words = list(table.notes([lost, refused]))
    assert words == [
        "transformers int8: a: lost, said 'so'",
        "vllm fp8: not served: fp8 does not run there",
    ]
    shown = table.table("m", [lost, refused])
    assert shown.row_count == 2 + 5


def test_a_check_that_a_server_has_not_had_is_an_empty_cell() -> None:
    one = Findings(engine="a", scheme="none", checks=[Check(name="x", outcome=Outcome.OK)])
    other = Findings(engine="b", scheme="none", checks=[Check(name="y", outcome=Outcome.FAULT)])
    shown = table.table("m", [one, other])
    columns = [list(column.cells) for column in shown.columns]
    assert columns[0][:2] == ["x", "y"]
    assert columns[1][:2] == ["✓", ""]
    assert columns[2][:2] == ["", "FAULT"]


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (1.234, "1.23"), (9.999, "10.00"), (1234.5, "1,234")]
)
def test_figures_are_short(value, text) -> None:
    figures = {} if value is None else {"start_s": value}
    shown = table.table("m", [Findings(engine="a", scheme="none", figures=figures)])
    assert next(iter(shown.columns[1].cells)) == text


def test_a_long_answer_is_cut_and_quality_is_always_said() -> None:
    long = Check(name="x", outcome=Outcome.WEAK, said="so\n" * 99)
    quality = Check(name="quality", outcome=Outcome.OK, detail="KL 0.01")
    skipped = Check(name="tools", outcome=Outcome.SKIPPED, detail="no chat template")
    found = Findings(engine="a", scheme="int8", checks=[long, quality, skipped])
    words = list(table.notes([found]))
    assert words[0].startswith("a int8: x: weak, said 'so so")
    assert words[0].endswith("...")
    assert len(words[0]) < 140
    assert words[1:] == ["a int8: quality: KL 0.01"]
