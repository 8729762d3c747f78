"""Percentiles are numpy's linear ones, in order, and named as reports name them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.metrics.percentiles import by_name, percentiles_ms
from benchmarks.report.figures import KINDS


@given(st.lists(st.floats(0.0, 1e3), min_size=1))
def test_percentiles_are_in_order_and_within(values: list[float]) -> None:
    found = percentiles_ms(values)
    points = [found[name] for name in ("p50", "p90", "p95", "p99")]
    assert points == sorted(points)
    assert min(values) * 1e3 <= points[0] * (1 + 1e-9) + 1e-9
    assert points[-1] <= max(values) * 1e3 * (1 + 1e-9) + 1e-9


def test_points_are_interpolated_between_neighbours() -> None:
    found = percentiles_ms([0.001, 0.002, 0.003, 0.004])
    assert found["p50"] == pytest.approx(2.5)
    assert found["p99"] == pytest.approx(3.97)
    assert found["mean"] == pytest.approx(2.5)


def test_one_sample_is_every_point_and_none_are_no_points() -> None:
    assert set(percentiles_ms([0.25]).values()) == {250.0}
    assert percentiles_ms([]) == {}


def test_names_are_those_of_reports() -> None:
    assert by_name({"p50": 1.0, "mean": 2.0}, "ttft") == {"ttft_ms_p50": 1.0, "ttft_ms_mean": 2.0}
    assert set(by_name(percentiles_ms([1.0]), "itl")) <= set(KINDS)
