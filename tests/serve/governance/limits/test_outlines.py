"""Outlines: made once for a caller and a model, and anew where anything of them changed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from serve.governance.limits import outlines as module
from serve.governance.limits.accounts import outline_of
from serve.governance.limits.limits_file import parse_rules
from serve.governance.limits.outlines import Outlines
from tests.serve.governance.limits.limited import ANN, ANN_AGAIN, KNOWN, NOON_MS, PRICES

TEXT = (
    'time_zone = "Europe/Berlin"'
    + PRICES
    + """
[[limits]]
name = "each key"
key = "*"
model = "*"
requests_per_minute = 5
tokens_per_day = 1000
money_per_month = "1.00"
"""
)
HOUR_MS = 3_600_000


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the keys that outlines were made for."""
    keys: list[str] = []

    def noting(rules, limits, principal, model, *, now_ms):
        keys.append(principal.key_id)
        return outline_of(rules, limits, principal, model, now_ms=now_ms)

    monkeypatch.setattr(module, "outline_of", noting)
    return keys


def test_who_asks_again_has_the_same_until_something_changes(made: list[str]) -> None:
    rules, kept = parse_rules(TEXT, KNOWN), Outlines()
    more = (*rules.limits, replace(rules.limits[0], name="another"))
    steps = [
        (rules, rules.limits, ANN, "demo", NOON_MS),
        (rules, tuple(rules.limits), ANN, "demo", NOON_MS + 10 * HOUR_MS),  # 23:00 in Berlin
        (rules, rules.limits, ANN, "demo", NOON_MS + 11 * HOUR_MS),
        (rules, rules.limits, ANN, "demo", NOON_MS),  # the clock was set back
        (rules, rules.limits, ANN_AGAIN, "demo", NOON_MS),
        (rules, rules.limits, ANN, "adapted", NOON_MS),
        (rules, more, ANN, "demo", NOON_MS),
        (replace(rules), more, ANN, "demo", NOON_MS),
    ]
    told = []
    for ruled, limits, principal, model, now_ms in steps:
        made.clear()
        outline = kept.outline(ruled, limits, principal, model, now_ms=now_ms)
        assert outline == outline_of(ruled, limits, principal, model, now_ms=now_ms)
        told.append(len(made))
    assert told == [1, 0, 1, 1, 1, 1, 1, 1]


def test_they_are_bounded(made: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEPT", 3)
    rules, kept = parse_rules(TEXT, KNOWN), Outlines()
    for number in (1, 2, 3, 4, 1):
        principal = replace(ANN, key_id=f"key-{number}")
        kept.outline(rules, rules.limits, principal, "demo", now_ms=NOON_MS)
        assert len(kept._kept) <= 3
    assert made == ["key-1", "key-2", "key-3", "key-4", "key-1"]
