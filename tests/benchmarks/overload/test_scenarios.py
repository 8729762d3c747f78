"""The formulas of the scenarios."""

from __future__ import annotations

import math
import random

import pytest

from benchmarks.overload.scenarios import _poisson, percentile


def test_percentiles_are_values_that_were_seen() -> None:
    values = [float(value) for value in range(100)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile([3.0], 0.99) == 3
    assert math.isnan(percentile([], 0.5))


def test_arrivals_come_at_their_rate_and_in_order() -> None:
    times = _poisson(random.Random(1), 10.0, 1000.0)
    assert len(times) == pytest.approx(10_000, rel=0.05)
    assert times == sorted(times)
    assert _poisson(random.Random(1), 0.0, 1000.0) == []
