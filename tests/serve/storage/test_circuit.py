"""A circuit: open after failures in a row, one trial at a time, and longer pauses up to a bound."""

from __future__ import annotations

import pytest

from serve.storage.circuit import Circuit


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def circuit(clock: Clock) -> Circuit:
    return Circuit(
        max_failures=3, first_pause_s=1.0, max_pause_s=5.0, clock=clock, jitter=lambda: 0.0
    )


def fail(circuit: Circuit) -> None:
    call = circuit.begin()
    assert call is not None
    circuit.fail(call)


def opened(circuit: Circuit) -> None:
    for _ in range(3):
        fail(circuit)


def test_failures_in_a_row_open_it(circuit):
    for _ in range(3):
        assert circuit.is_closed
        fail(circuit)
    assert not circuit.is_closed
    assert circuit.begin() is None


def test_a_success_between_keeps_it_closed(circuit):
    for _ in range(4):
        fail(circuit)
        fail(circuit)
        circuit.succeed(circuit.begin())
    assert circuit.is_closed


def test_one_trial_at_a_time_closes_it(circuit, clock):
    opened(circuit)
    clock.now += 1.0
    trial = circuit.begin()
    assert trial is not None
    assert circuit.begin() is None
    circuit.succeed(trial)
    assert circuit.is_closed
    assert circuit.begin() is not None


def test_pauses_double_up_to_a_bound_and_begin_anew(circuit, clock):
    opened(circuit)
    for pause in (1.0, 2.0, 4.0, 5.0, 5.0):
        clock.now += pause - 0.01
        assert circuit.begin() is None
        clock.now += 0.01
        fail(circuit)
    clock.now += 5.0
    circuit.succeed(circuit.begin())
    opened(circuit)
    clock.now += 1.0
    assert circuit.begin() is not None


def test_a_trial_that_never_ends_is_followed_by_another(circuit, clock):
    opened(circuit)
    clock.now += 1.0
    lost = circuit.begin()
    clock.now += 1.0
    trial = circuit.begin()
    assert trial is not None
    circuit.fail(lost)
    circuit.succeed(lost)
    assert not circuit.is_closed
    circuit.succeed(trial)
    assert circuit.is_closed


def test_calls_of_before_it_opened_say_nothing_of_the_trial(circuit, clock):
    before = [circuit.begin() for _ in range(10)]
    for call in before[:3]:
        circuit.fail(call)
    for call in before[3:]:
        circuit.fail(call)
    clock.now += 1.0
    trial = circuit.begin()
    assert trial is not None
    circuit.succeed(before[0])
    assert not circuit.is_closed


def test_a_pause_is_shortened_by_chance(clock):
    circuit = Circuit(max_failures=1, first_pause_s=1.0, clock=clock, jitter=lambda: 0.3)
    fail(circuit)
    clock.now += 0.69
    assert circuit.begin() is None
    clock.now += 0.02
    assert circuit.begin() is not None
