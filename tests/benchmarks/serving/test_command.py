"""The serving command: its levels, targets, and refusals."""

from __future__ import annotations

from benchmarks.serving.command import levels_of, targets_of


def test_targets_are_milliseconds() -> None:
    assert targets_of(["ttft=500", "tpot=50"]).ttft_s == 0.5
    assert not targets_of([])


def test_levels_have_enough_requests() -> None:
    from argparse import Namespace

    options = {"requests": None, "timeout": 9.0, "dataset": "synthetic", "pattern": "poisson"}
    rates = levels_of(Namespace(rate=[0.5, 20.0], concurrency=None, **options))
    assert [level.count for level in rates] == [8, 160]
    closed = levels_of(Namespace(rate=None, concurrency=None, **options))
    assert [level.count for level in closed] == [8, 64, 256]
