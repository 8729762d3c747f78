"""A trial for people."""

from __future__ import annotations

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
