"""The autoscaler's arithmetic: the documentation's examples, and properties of all cases."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scaling.hpa import Direction, Policy, Scaler, State, desired_replicas

counts = st.integers(1, 40)
values = st.lists(st.floats(0, 1e6), min_size=1, max_size=40)
targets = st.floats(0.01, 1e4)


@pytest.mark.parametrize(
    ("current", "average", "target", "wanted"),
    [
        (1, 200, 100, 2),  # twice the target: twice the pods
        (2, 50, 100, 1),
        (50, 90, 75, 60),
        (4, 109, 100, 4),  # within the tolerance
        (4, 91, 100, 4),
        (4, 110.1, 100, 5),
        (10, 89, 100, 9),
        (3, 0, 100, 0),
    ],
)
def test_the_documented_examples(current, average, target, wanted):
    assert desired_replicas(current, [average] * current, target) == wanted


def test_a_start_under_way_is_not_asked_for_again():
    assert desired_replicas(4, [200, 200], 100) == 4
    assert desired_replicas(4, [200, 200], 100, num_unready=2) == 4  # (400 / 4) / 100 = 1
    assert desired_replicas(4, [300, 300], 100, num_unready=2) == 6
    assert desired_replicas(3, [300, 300], 100) == 6


def test_pods_without_a_value_are_taken_for_the_careful_answer():
    assert desired_replicas(4, [50, 50], 100, num_missing=2) == 3  # they count as 100 each
    assert desired_replicas(4, [150, 150], 100, num_missing=2) == 4  # as 0, which would turn it


@given(current=counts, target=targets, average=st.floats(0, 1e6))
def test_all_ready_is_the_plain_formula(current, target, average):
    wanted = desired_replicas(current, [average] * current, target)
    ratio = average / target
    if abs(ratio - 1) <= 0.0999:
        assert wanted == current
    elif abs(ratio - 1) >= 0.1001:
        assert wanted == math.ceil(round(ratio * current, 9)) or abs(wanted - ratio * current) < 1


@given(current=counts, target=targets, seen=values, more=st.floats(0, 1e6))
def test_more_load_never_asks_for_fewer(current, target, seen, more):
    heavier = [value + more for value in seen]
    assert (
        desired_replicas(len(seen), heavier, target) >= desired_replicas(len(seen), seen, target)
        or len(seen) > current
    )


@given(seen=values, target=targets, unready=st.integers(0, 20), missing=st.integers(0, 20))
def test_doubt_never_turns_or_strengthens_the_answer(seen, target, unready, missing):
    current = len(seen) + unready + missing
    ratio = sum(seen) / len(seen) / target
    wanted = desired_replicas(current, seen, target, num_unready=unready, num_missing=missing)
    if missing or (unready and ratio > 1):
        assert (wanted - current) * (ratio - 1) >= 0
        most = math.ceil(ratio * len(seen) * (1 + 1e-9))  # sums of floats are rounded otherwise
        assert wanted <= max(current, most)


@given(current=counts, target=targets)
def test_without_values_nothing_changes(current, target):
    assert desired_replicas(current, [], target) == current


def scaler(
    *, up: Direction | None = None, down: Direction | None = None, most: int = 100
) -> Scaler:
    free = Direction(window_s=0, policies=())
    return Scaler(least=1, most=most, targets={}, up=up or free, down=down or free)


def test_down_waits_for_the_window_and_up_does_not():
    state = State()
    plan = scaler(down=Direction(window_s=300, policies=()))
    assert state.decide(plan, 0, 4, 8) == 8
    assert state.decide(plan, 15, 8, 2) == 8  # the 8 of 15 s ago still holds
    assert state.decide(plan, 300, 8, 2) == 8
    assert state.decide(plan, 301, 8, 2) == 2


def test_up_can_have_a_window_too():
    state = State()
    plan = scaler(up=Direction(window_s=60, policies=()))
    assert state.decide(plan, 0, 2, 2) == 2
    assert state.decide(plan, 30, 2, 9) == 2
    assert state.decide(plan, 61, 2, 7) == 7


def test_policies_bound_the_change_within_their_period():
    state = State()
    plan = scaler(
        up=Direction(window_s=0, policies=(Policy(kind="Percent", value=100, period_s=60),))
    )
    assert state.decide(plan, 0, 2, 50) == 4
    assert state.decide(plan, 15, 4, 50) == 4
    assert state.decide(plan, 61, 4, 50) == 8
    one = scaler(down=Direction(window_s=0, policies=(Policy(kind="Pods", value=1, period_s=120),)))
    state = State()
    assert state.decide(one, 0, 8, 1) == 7
    assert state.decide(one, 119, 7, 1) == 7
    assert state.decide(one, 121, 7, 1) == 6


def test_of_several_policies_the_larger_step_holds():
    policies = (
        Policy(kind="Percent", value=100, period_s=60),
        Policy(kind="Pods", value=4, period_s=60),
    )
    plan = scaler(up=Direction(window_s=0, policies=policies))
    assert State().decide(plan, 0, 1, 50) == 5
    assert State().decide(plan, 0, 8, 50) == 16


policies = st.lists(
    st.builds(
        Policy,
        kind=st.sampled_from(["Pods", "Percent"]),
        value=st.integers(1, 200),
        period_s=st.floats(15, 600),
    ),
    max_size=3,
).map(tuple)
directions = st.builds(Direction, window_s=st.floats(0, 900), policies=policies)


@given(
    up=directions,
    down=directions,
    least=st.integers(1, 5),
    extra=st.integers(0, 20),
    asked=st.lists(st.integers(0, 60), min_size=1, max_size=30),
)
def test_decisions_stay_between_what_is_and_what_was_asked_for(up, down, least, extra, asked):
    plan = Scaler(least=least, most=least + extra, targets={}, up=up, down=down)
    state, current = State(), least
    for step, wanted in enumerate(asked):
        decided = state.decide(plan, 15.0 * step, current, wanted)
        assert least <= decided <= least + extra
        bounded = min(max(wanted, least), least + extra)
        assert min(current, bounded) <= decided <= max(current, bounded)
        current = decided
