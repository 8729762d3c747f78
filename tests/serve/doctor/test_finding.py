"""Findings, as scripts read them from `doctor --json`."""

from __future__ import annotations

from typing import get_args

from serve.doctor.finding import Finding, Level, failure, ok, skipped, warning


def test_a_finding_as_json_names_its_check_first() -> None:
    row = failure("The disk is full.", "Remove a model.").as_json("disk")
    assert list(row.items()) == [
        ("check", "disk"),
        ("level", "failure"),
        ("summary", "The disk is full."),
        ("advice", "Remove a model."),
    ]


def test_where_nothing_is_to_be_done_the_advice_is_empty() -> None:
    for finding in (ok("Fine."), skipped("Not asked.")):
        assert finding.advice == ""
        assert finding.as_json("x")["advice"] == ""


def test_there_is_a_way_to_each_level() -> None:
    findings = [ok("a"), skipped("a"), warning("a", "b"), failure("a", "b")]
    assert [finding.level for finding in findings] == list(get_args(Level))
    assert findings[2] == Finding(level="warning", summary="a", advice="b")
