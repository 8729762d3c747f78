"""The learning rate and the mix follow from how far a run is."""

from __future__ import annotations

import pytest

from models.demo import corpus, schedule


def test_the_rate_warms_up_holds_and_ends_at_zero() -> None:
    assert schedule.rate(0, 0.0) < 0.05
    assert schedule.rate(500, 0.2) == 1.0
    assert schedule.rate(500, 0.9) < schedule.rate(500, 0.8) < 1.0
    assert schedule.rate(500, 1.0) == 0.0


def test_the_rate_is_full_from_the_last_step_of_warming_up() -> None:
    last = schedule.WARMUP_STEPS - 1
    assert schedule.rate(last, 0.0) == 1.0
    assert 0 < schedule.rate(last - 1, 0.0) < 1.0


def test_the_rate_holds_for_the_share_that_was_asked_for_and_is_never_negative() -> None:
    assert schedule.rate(500, 0.5, hold=0.5) == 1.0
    assert schedule.rate(500, 0.75, hold=0.5) == pytest.approx(0.5)
    assert schedule.rate(500, 1.5) == 0.0


def test_the_budget_counts_training_time_or_steps() -> None:
    assert schedule.Budget(minutes=2).progress(0, 60.0) == 0.5
    assert schedule.Budget(minutes=2).progress(0, 600.0) == 1.0
    assert schedule.Budget(minutes=2, steps=10).progress(5, 0.0) == 0.5
    assert schedule.Budget(minutes=2, steps=10).progress(99, 0.0) == 1.0


@pytest.mark.parametrize(
    ("progress", "mix"),
    [
        *((0.0, "start"), (0.0999, "start"), (0.10, "main"), (0.5299, "main")),
        *((0.53, "late"), (0.8399, "late"), (0.84, "last"), (1.0, "last")),
    ],
)
def test_each_share_of_the_run_has_its_mix(progress: float, mix: str) -> None:
    assert schedule.mix_at(progress) == mix
    assert mix in corpus.MIXES
