"""The measured rate: only while somebody waits, and only where it is known."""

from __future__ import annotations

import pytest

from serve.service.queue_rate import LEAST_TURNS, WINDOW_S, QueueRate


def test_it_is_not_known_before_a_few_turns() -> None:
    rate = QueueRate()
    rate.began(0.0)
    for turn in range(LEAST_TURNS):
        assert rate.tokens_per_s(turn) is None
        rate.turn(100, turn + 1.0)
    assert rate.tokens_per_s(LEAST_TURNS) == 100
    assert rate.tokens_a_turn == 100


def test_time_in_which_nobody_waits_does_not_count() -> None:
    rate = QueueRate()
    for start in (0.0, 1000.0):
        rate.began(start)
        for turn in range(LEAST_TURNS):
            rate.turn(50, start + turn + 1)
        rate.ended(start + LEAST_TURNS)
    assert rate.tokens_per_s(5000.0) == 50


def test_an_engine_that_stands_still_is_slower_with_every_second() -> None:
    rate = QueueRate()
    rate.began(0.0)
    for turn in range(10):
        rate.turn(100, turn + 1.0)
    assert rate.tokens_per_s(10.0) == 100
    assert rate.tokens_per_s(20.0) == 50


def test_it_follows_a_change_within_its_window() -> None:
    rate = QueueRate()
    rate.began(0.0)
    for second in range(100):
        rate.turn(1000, second + 1.0)
    for second in range(100, 100 + int(WINDOW_S) + 1):
        rate.turn(10, second + 1.0)
    assert rate.tokens_per_s(131.0) == pytest.approx(10)
