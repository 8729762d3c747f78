"""Levels, targets and refusals of the options."""

from __future__ import annotations

from argparse import Namespace

import pytest

from benchmarks.serving.wanted import check, levels_of, targets_of


def test_targets_are_milliseconds() -> None:
    assert targets_of(["ttft=500", "tpot=50"]).ttft_s == 0.5
    assert not targets_of([])


def test_levels_have_enough_requests() -> None:
    options = {"requests": None, "timeout": 9.0, "dataset": "synthetic", "pattern": "poisson"}
    rates = levels_of(Namespace(rate=[0.5, 20.0], concurrency=None, **options))
    assert [level.count for level in rates] == [8, 160]
    closed = levels_of(Namespace(rate=None, concurrency=None, **options))
    assert [level.count for level in closed] == [8, 64, 256]


@pytest.mark.parametrize("word", ["speed=3", "ttft", "ttft=fast", "tpot=0", "e2e=-5"])
def test_a_target_that_is_none_is_named(word: str) -> None:
    with pytest.raises(ValueError, match=f"--slo {word}: ttft=MS, tpot=MS and e2e=MS are known"):
        targets_of(["ttft=1", word])


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"rate": [1.0, 0.0]}, "--rate has 0; a rate must be above 0"),
        ({"concurrency": [8, 0]}, "--concurrency has 0; at least 1"),
    ],
)
def test_a_load_of_nothing_is_refused(facts: dict, message: str) -> None:
    options = {"requests": None, "timeout": 9.0, "dataset": "synthetic", "pattern": "poisson"}
    with pytest.raises(ValueError, match=message):
        levels_of(Namespace(**({"rate": None, "concurrency": None} | options | facts)))


def test_a_replay_is_one_level_of_all_that_was_recorded() -> None:
    options = Namespace(requests=None, timeout=9.0, dataset="replay", rate=[4.0], concurrency=None)
    (level,) = levels_of(options)
    assert (level.label, level.timeout_s) == ("replay", 9.0)
    assert level.count >= 10_000


GOOD = {
    "max_levels": 20,
    "rounds": 1,
    "requests": None,
    "input": 128,
    "output": 64,
    "level_seconds": 120.0,
    "timeout": 600.0,
    "spread": 0.0,
    "sweep": False,
    "dataset": "synthetic",
}


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"rounds": 0}, "--rounds is 0 and must be at least 1."),
        ({"max_levels": 0}, "--max-levels is 0 and must be at least 1."),
        ({"requests": 0}, "--requests is 0 and must be at least 1."),
        ({"level_seconds": 0.0}, "--level-seconds is 0 and must be above 0 seconds."),
        ({"timeout": float("nan")}, "--timeout is nan and must be above 0 seconds."),
        ({"spread": 1.5}, "--spread is 1.5 and must be from 0 to 1."),
        ({"sweep": True, "dataset": "replay"}, "one of them"),
    ],
)
def test_numbers_out_of_range_are_named(facts: dict, message: str) -> None:
    check(Namespace(**GOOD))
    with pytest.raises(ValueError, match=message):
        check(Namespace(**GOOD | facts))
