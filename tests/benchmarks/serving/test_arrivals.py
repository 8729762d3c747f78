"""Open-loop schedules have the rate that was asked for, in the pattern that was asked for."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.serving.arrivals import PATTERNS, schedule


@given(st.sampled_from(PATTERNS), st.floats(0.1, 1000.0), st.integers(1, 200), st.integers(0, 9))
def test_every_request_is_due_once_and_in_order(pattern, rate, count, seed) -> None:
    dues = list(schedule(pattern, rate, count, seed=seed))
    assert len(dues) == count
    assert dues == sorted(dues)
    assert dues[0] == 0
    assert dues == list(schedule(pattern, rate, count, seed=seed))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_mean_rate_is_that_asked_for(pattern) -> None:
    dues = list(schedule(pattern, 50.0, 20_000))
    assert len(dues) / dues[-1] == pytest.approx(50.0, rel=0.03)


def test_patterns_differ_in_their_gaps() -> None:
    def gaps(pattern) -> list[float]:
        return [later - earlier for earlier, later in pairwise(schedule(pattern, 10.0, 4000))]

    assert gaps("constant") == pytest.approx([0.1] * 3999)
    poisson = gaps("poisson")
    mean = sum(poisson) / len(poisson)
    variance = sum((gap - mean) ** 2 for gap in poisson) / len(poisson)
    assert variance**0.5 == pytest.approx(mean, rel=0.1)  # as of an exponential distribution
    bursts = Counter(schedule("burst", 10.0, 40))
    assert set(bursts.values()) == {10}
    assert sorted(bursts) == pytest.approx([0.0, 1.0, 2.0, 3.0])
