"""Moderation is a value."""

from __future__ import annotations

from serve.governance.moderating import Moderation


def test_equal_findings_are_equal() -> None:
    found = Moderation(categories=("hate",), flagged=frozenset({"hate"}), rules=("r@1",))
    assert found == Moderation(categories=("hate",), flagged=frozenset({"hate"}), rules=("r@1",))
