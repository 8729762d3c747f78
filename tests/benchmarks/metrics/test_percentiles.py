"""Percentiles are numpy's linear ones, in order, and named as reports name them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.metrics.percentiles import percentiles_ms


@given(st.lists(st.floats(0.0, 1e3), min_size=1))
def test_percentiles_are_in_order_and_within(values: list[float]) -> None:
    found = percentiles_ms(values)
    points = [found[name] for name in ("p50", "p90", "p95", "p99")]
    assert points == sorted(points)
    assert min(values) * 1e3 <= points[0] * (1 + 1e-9) + 1e-9
    assert points[-1] <= max(values) * 1e3 * (1 + 1e-9) + 1e-9
