"""The steady window's counts, by hand."""

from __future__ import annotations

import math

import pytest

from benchmarks.serving import steady
from benchmarks.trace import Trace
from tests.benchmarks.traces import trace

EVEN = [trace(float(at), at + 0.5, at + 1.0) for at in range(10)]
"""One a second, each answered within a second."""


def test_the_window_begins_after_a_third_and_ends_with_the_last_sending() -> None:
    window = steady.steady(EVEN)
    assert window is not None
    assert window.length_s == 6.0  # from 3 to 9
    assert (window.sent, window.answered) == (6, 6)
    assert (window.offered_s, window.answered_s, window.kept_share) == (1.0, 1.0, 1.0)
    assert window.in_flight == 1.0
    assert window.chance == (1 + 2 * math.sqrt(2)) / 6


def test_what_is_refused_or_still_running_is_not_answered() -> None:
    late = [trace(7.0, 20.0, 21.0), Trace(sent_at=8.0, finished_at=8.0, status=503, error="busy")]
    window = steady.steady([*EVEN, *late])
    assert window is not None
    assert (window.sent, window.answered) == (8, 6)


def test_a_closed_loops_window_begins_when_all_have_been_answered_once() -> None:
    waves = [trace(float(at), at + 0.5, at + 1.0) for at in range(5) for _ in range(4)]
    window = steady.steady(waves, concurrency=4)
    assert window is not None
    assert window.length_s == 3.0  # from 1 to 4
    assert window.answered_s == 4.0


HASTE = [trace(0.001 * at, 1.0, 2.0) for at in range(10)]
"""Sent in a hundredth of what an answer takes: nothing has settled."""


@pytest.mark.parametrize("traces", [[], EVEN[:1], [EVEN[0], EVEN[0]], HASTE])
def test_what_is_too_short_has_no_window(traces: list[Trace]) -> None:
    assert steady.steady(traces) is None


def test_chance_is_not_saturation() -> None:
    assert steady.is_saturated(0.94, 0.05)
    assert not steady.is_saturated(0.96, 0.05)
    assert not steady.is_saturated(0.98, 0.001), "three in a hundred are none"
    assert not steady.is_saturated(0.85, 0.1, is_long=False)
    assert steady.is_saturated(0.75, 0.1, is_long=False)
