"""Findings of one server, and whether they are as they should be.

A server can be at fault; a model can only be weak. So a question that the model does not answer
counts against a scheme only where the full weights of the same model answer it: ``LOST``. A small
model is near to saying something else at many a token, so each such question is shown, and more
than a third of them are not as it should be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """The outcome of one check, the worst last."""

    OK = "ok"
    SKIPPED = "skipped"  # it does not apply; the check says why
    WEAK = "weak"  # the model does not know, and no full weights that do were asked
    LOST = "lost"  # the full weights know
    FAULT = "fault"  # of the server, whatever the model


ONE_LOSS_IN = 3
"""Of so many questions that the full weights answer, a scheme may lose one: with 8 bits Gemma 3
270M loses two of six, each by a hair. An engine that computes nonsense loses nearly all."""
TOLERANCE = 0.15
"""The share of tokens by which what is served may fall short of what was measured. With 40
places a share of 95 % is known to within 7 % (two standard errors)."""
PARTIAL = "\ufffd"
"""In a token that is not whole characters: two such tokens cannot be told apart."""
LEAST_AGREEMENT = 0.5
"""The same as a share, where nothing was measured: noise agrees in no token of a hundred."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: such as ``english: capital``.
        detail: what was wrong, or the figure.
        said: what the model answered, where it was asked.
    """

    name: str
    outcome: Outcome
    detail: str = ""
    said: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Findings of one engine with one scheme.

    Attributes:
        card: of /v1/models.
        figures: seconds and tokens per second, by name.
        next_tokens: the likeliest next tokens at fixed positions of fixed texts.
        refused: why there was no server; empty where there was one.
    """

    engine: str
    scheme: str
    card: Mapping[str, Any] = field(default_factory=dict)
    checks: Sequence[Check] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    next_tokens: Sequence[str] = ()
    refused: str = ""

    @property
    def is_full(self) -> bool:
        return self.scheme == "none"

    @property
    def is_right(self) -> bool:
        """No fault, and at most one in three of what the full weights answer lost."""
        answered = [check.outcome for check in self.checks if check.said]
        num_lost = answered.count(Outcome.LOST)
        num_known = answered.count(Outcome.OK) + num_lost
        has_fault = any(check.outcome is Outcome.FAULT for check in self.checks)
        return not has_fault and num_lost * ONE_LOSS_IN <= num_known


def judged(findings: Findings, full: Findings | None) -> Findings:
    """The findings of a scheme beside those of the full weights.

    Args:
        full: on the same engine if there is one, else on another; None where none were served.
    """
    if full is None or findings.is_full or findings.refused:
        return findings
    known = {check.name for check in full.checks if check.outcome is Outcome.OK}
    checks = [
        replace(check, outcome=Outcome.LOST)
        if check.outcome is Outcome.WEAK and check.name in known
        else check
        for check in findings.checks
    ]
    agreed = agreement(findings, full)
    return replace(findings, checks=[*checks, *([] if agreed is None else [agreed])])


def agreement(findings: Findings, full: Findings) -> Check | None:
    """The share of places at which the served model finds the same token likeliest as full weights.

    What was measured when the weights were made is what it is held against: an engine that
    computes something else than was measured is at fault.
    """
    if not findings.next_tokens or len(findings.next_tokens) != len(full.next_tokens):
        return None
    pairs = [
        pair
        for pair in zip(findings.next_tokens, full.next_tokens, strict=True)
        if PARTIAL not in pair[1]
    ]
    if not pairs:
        return None
    share = sum(ours == theirs for ours, theirs in pairs) / len(pairs)
    quality = findings.card.get("quality")
    least = quality["top1"] - TOLERANCE if quality else LEAST_AGREEMENT
    measured = f", {quality['top1']:.1%} measured" if quality else ", nothing measured"
    return Check(
        name="same token",
        outcome=Outcome.OK if share >= least else Outcome.FAULT,
        detail=f"{share:.1%} of {len(pairs)} places as {full.engine} none{measured}",
    )
