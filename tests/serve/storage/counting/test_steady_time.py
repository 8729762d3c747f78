"""Time that never runs backwards, and goes at the pace of its clock."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from serve.storage.counting.steady_time import SteadyTime


def test_it_is_the_clock_s_until_that_is_set_back() -> None:
    time = SteadyTime().at(1_000).at(1_500)
    assert (time.now_ms, time.ahead_ms) == (1_500, 0)
    time = time.at(200)
    assert (time.now_ms, time.ahead_ms) == (1_500, 1_300)
    assert time.at(250).now_ms == 1_550


@given(st.lists(st.integers(0, 10**13), min_size=1))
def test_it_goes_forward_with_its_clock_and_never_back(clocks: list[int]) -> None:
    time = SteadyTime().at(clocks[0])
    for before, clock in itertools.pairwise(clocks):
        was, time = time, time.at(clock)
        assert time.now_ms - was.now_ms == max(0, clock - before)
