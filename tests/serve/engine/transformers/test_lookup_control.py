"""What guesses may cost is bounded, however wrong they are, and however many sequences run."""

from __future__ import annotations

import pytest

from serve.engine.transformers.lookup_control import ROW_COST, LookupControl, price


def spent(num_steps: int, num_running: int) -> float:
    """The cost of guesses that are never right, in steps."""
    control, total = LookupControl(15), 0.0
    for _ in range(num_steps):
        if num_guesses := control.most(num_running):
            control.learn(num_guesses, 0)
            total += num_guesses * price(num_running)
    return total


@pytest.mark.parametrize("num_running", [1, 2, 8, 32, 256])
def test_wrong_guesses_cost_half_a_step_and_a_hundredth_of_the_others(num_running: int) -> None:
    for num_steps in (1, 50, 1000):
        assert spent(num_steps, num_running) <= 0.5 + num_steps / 100
    assert spent(1000, num_running) > 0  # it asks again


def test_a_guess_costs_more_of_its_own_steps_the_more_sequences_run() -> None:
    prices = [price(num_running) for num_running in (1, 2, 8, 32)]
    assert prices == sorted(prices)
    assert prices[0] == ROW_COST
    assert prices[-1] < 1


def test_a_longer_match_is_asked_for_until_guesses_have_paid() -> None:
    control = LookupControl(15)
    assert control.least_matched == 4
    control.learn(control.most(1), 3)
    assert control.least_matched == 2


def test_right_guesses_earn_more() -> None:
    control = LookupControl(15)
    for _ in range(20):
        control.learn(control.most(32), 0)
    assert control.most(32) == 0
    control.learn(0, 3)
    assert control.most(32) > 0


def test_what_was_right_long_ago_is_forgotten() -> None:
    control = LookupControl(15)
    for _ in range(100):
        control.learn(control.most(1), 15)
    total = 0
    for _ in range(200):
        num_guesses = control.most(1)
        control.learn(num_guesses, 0)
        total += num_guesses
    assert total * price(1) < 4 + 15 + 200 / 100
