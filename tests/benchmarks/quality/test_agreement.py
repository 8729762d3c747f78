"""Compared tokens by their source."""

from __future__ import annotations

from benchmarks.quality.agreement import histogram


def test_the_histogram_counts_every_token():
    found = histogram([0.0, 1e-12, 2e-5, 0.5, 80.0])
    assert found["1e-9"] == 2
    assert (found["1e-5"], found["1e-1"], found["1e1"]) == (1, 1, 1)
    assert sum(found.values()) == 5
