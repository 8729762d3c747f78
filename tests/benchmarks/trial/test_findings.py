"""When a model is weak, when a scheme lost something, and when a server is at fault."""

from __future__ import annotations

import pytest

from benchmarks.trial.findings import Check, Findings, Outcome, agreement, judged

TOKENS = [f" t{number}" for number in range(40)]


def checks(outcomes: str) -> list[Check]:
    """``+`` known, ``~`` weak; of questions a, b, c, ..."""
    return [
        Check(name=name, outcome=Outcome.OK if mark == "+" else Outcome.WEAK, said="so")
        for name, mark in zip("abcdefgh", outcomes, strict=False)
    ]


def found(outcomes: str, *, scheme: str = "int8", **more) -> Findings:
    return Findings(engine="transformers", scheme=scheme, checks=checks(outcomes), **more)


def outcomes(findings: Findings) -> list[str]:
    return [check.outcome for check in findings.checks]


def test_what_the_full_weights_do_not_know_either_is_no_loss():
    full = found("+~", scheme="none")
    assert full.is_right
    assert outcomes(judged(found("~~"), full)) == ["lost", "weak"]
    assert outcomes(judged(found("~~"), None)) == ["weak", "weak"]
    assert judged(full, full) is full


@pytest.mark.parametrize(("of_eight", "is_right"), [("~~++++++", True), ("~~~+++++", False)])
def test_few_losses_are_shown_and_many_are_not_right(of_eight, is_right):
    assert judged(found(of_eight), found("++++++++", scheme="none")).is_right is is_right


def test_a_fault_is_never_right():
    fault = Check(name="card", outcome=Outcome.FAULT)
    assert not Findings(engine="vllm", scheme="none", checks=[fault]).is_right


@pytest.mark.parametrize(
    ("num_same", "quality", "outcome"),
    [
        (38, {"top1": 0.95}, "ok"),
        (31, {"top1": 0.95}, "fault"),
        (31, {"top1": 0.8}, "ok"),
        (31, None, "ok"),
        (2, None, "fault"),
    ],
)
def test_what_is_served_is_held_against_what_was_measured(num_same, quality, outcome):
    ours = TOKENS[:num_same] + ["?"] * (len(TOKENS) - num_same)
    full = found("", scheme="none", next_tokens=TOKENS)
    check = agreement(found("", next_tokens=ours, card={"quality": quality}), full)
    assert check is not None
    assert check.outcome == outcome
    assert f"{num_same / 40:.1%} of 40 places" in check.detail


def test_tokens_that_cannot_be_told_apart_are_not_compared():
    full = found("", scheme="none", next_tokens=["\ufffd", "a", " \ufffd"])
    check = agreement(found("", next_tokens=["\ufffd", "b", "c"]), full)
    assert check is not None
    assert check.detail.startswith("0.0% of 1 places")
    assert agreement(found("", next_tokens=["x"]), full) is None
    nothing = found("", scheme="none", next_tokens=["\ufffd"])
    assert agreement(found("", next_tokens=["x"]), nothing) is None
