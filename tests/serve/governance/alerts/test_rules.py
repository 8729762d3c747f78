"""Thresholds: each is told once, at the settlement that crosses it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serve.governance.alerts.rules import FIELDS, crossed


def told(limit: int, before: int, after: int, thresholds: list[int]) -> list[int]:
    found = crossed("account", limit, before, after, thresholds)
    return [int(alert.fields["threshold_percent"]) for alert in found]


def test_a_threshold_is_crossed_when_it_is_reached():
    assert told(100, 79, 80, [50, 80, 100]) == [80]
    assert told(100, 80, 99, [50, 80, 100]) == []
    assert told(100, 0, 250, [100, 50, 50, 200, 80]) == [50, 80, 100, 200]


def test_fractions_of_a_unit_are_not_rounded():
    assert told(3, 0, 1, [33, 34]) == [33]
    assert told(10**18 + 1, 0, 8 * 10**17, [80]) == []
    assert told(10**18 + 1, 0, 8 * 10**17 + 1, [80]) == [80]


def test_nothing_can_be_used_of_nothing():
    assert told(0, 0, 10, [1, 100]) == []


def test_going_down_crosses_nothing():
    assert told(100, 90, 10, [50]) == []


def test_the_alert_has_numbers_and_ids_of_a_closed_set():
    (alert,) = crossed("a/2026-11", 200, 0, 100, [50], tenant="ward", owner="ann")
    assert (alert.tenant, alert.owner) == ("ward", "ann")
    assert alert.fields.keys() < FIELDS
    assert alert.fields == {
        "type": "budget.threshold",
        "account": "a/2026-11",
        "tenant": "ward",
        "threshold_percent": 50,
        "limit": 200,
        "used": 100,
    }


def test_periods_limits_and_thresholds_make_subjects_of_their_own():
    subjects = {
        crossed(name, limit, 0, limit, [threshold])[0].subject
        for name in ("a/2026-11", "a/2026-12")
        for limit in (100, 200)
        for threshold in (50, 80)
    }
    assert len(subjects) == 8


@given(
    limit=st.integers(1, 10**12),
    steps=st.lists(st.integers(0, 10**12), max_size=20),
    thresholds=st.lists(st.integers(1, 1000), max_size=8),
)
def test_any_steps_tell_each_threshold_once(limit, steps, thresholds):
    seen: list[int] = []
    used = 0
    for step in steps:
        seen += told(limit, used, used + step, thresholds)
        used += step
    assert sorted(seen) == sorted({t for t in thresholds if t * limit <= used * 100})
