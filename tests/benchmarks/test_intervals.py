"""Intervals hold what they should, and say nothing where nothing can be said."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import intervals

SAMPLES = st.lists(st.floats(0.1, 1e6), min_size=3, max_size=12)


@given(SAMPLES)
def test_an_interval_lies_within_the_samples_and_around_the_median(samples: list[float]) -> None:
    found = intervals.median(samples)
    assert found.low is not None
    assert found.high is not None
    assert min(samples) <= found.low <= found.middle <= found.high <= max(samples)


@given(SAMPLES, st.floats(0.01, 100.0))
def test_pairs_see_through_what_both_suffer(samples: list[float], factor: float) -> None:
    """One system is always so many times as fast, however the machine's speed drifts."""
    found = intervals.paired_ratio([factor * each for each in samples], samples)
    for value in (found.low, found.middle, found.high):
        assert value == pytest.approx(factor)


def test_too_few_rounds_have_no_interval() -> None:
    assert intervals.paired_ratio([2.0, 4.0], [1.0, 2.0]) == intervals.Interval(2.0, None, None)
    assert intervals.ratio_of_medians([1.0, 1.0, 1.0], [2.0]).low is None


def test_the_same_samples_give_the_same_interval() -> None:
    assert intervals.median([3, 1, 2, 9]) == intervals.median([3, 1, 2, 9])


def test_ninety_five_of_a_hundred_intervals_hold_the_truth() -> None:
    """Of the ratio of two noisy runs; a percentile bootstrap of nine samples is a little narrow."""
    source = random.Random(5)
    held = 0
    for _ in range(100):
        ones = [source.gauss(20, 1) for _ in range(9)]
        others = [source.gauss(10, 1) for _ in range(9)]
        found = intervals.ratio_of_medians(ones, others)
        held += (found.low or 0) <= 2.0 <= (found.high or 0)
    assert held >= 88
