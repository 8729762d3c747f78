"""Replicas against what can be computed by hand, and days against what must hold of any."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scaling import plans
from benchmarks.scaling.arrivals import DAY_S, Request
from benchmarks.scaling.replica import Costs
from benchmarks.scaling.simulation import Day, Plan

ONE = Costs(start_s=60, first_token_s=0.1, one_s=0.1, full_s=0.2, slots=2, queue=2)


def at(*times: float, tokens: int = 10) -> list[Request]:
    return [Request(at_s=time, tokens=tokens) for time in times]


def test_what_no_replica_has_room_for_is_refused():
    outcome = Day(Plan(name="x", fixed=1), ONE).run(at(*[10.0] * 7))
    assert outcome.num_refused == 3  # two run, two wait
    assert len(outcome.first_token_s) == 4
    assert outcome.attainment(1000) == pytest.approx(4 / 7)


def test_a_fixed_plan_costs_the_whole_day():
    outcome = Day(Plan(name="x", fixed=3), ONE).run(at(10.0))
    assert outcome.replica_s == pytest.approx(3 * DAY_S, rel=0.001)
    assert outcome.num_starts == 0


def test_the_first_request_waits_for_a_cold_start_and_then_nobody_pays():
    plan = Plan(name="x", fixed=0, scaler=plans.scaler(1, 4, 2), idle_s=900)
    outcome = Day(plan, ONE).run(at(3600.0))
    assert outcome.first_token_s == [pytest.approx(60.1)]
    assert outcome.num_starts == 1
    assert 900 <= outcome.replica_s <= 1000


def test_a_warm_replica_is_there_before_office_hours_and_gone_after():
    plan = Plan(name="x", fixed=0, scaler=plans.scaler(1, 4, 2), idle_s=900, warm=(7, 19))
    outcome = Day(plan, ONE).run(at(8 * 3600.0, 18.9 * 3600))
    assert max(outcome.first_token_s) == pytest.approx(0.1)
    assert outcome.replica_s / 3600 == pytest.approx(12.2, abs=0.3)


def test_a_queue_brings_replicas_and_its_end_takes_them_away():
    costs = Costs(start_s=60, first_token_s=0.1, one_s=0.1, full_s=0.1, slots=2, queue=1000)
    busy = [Request(at_s=3600 + n / 2, tokens=60) for n in range(7200)]
    outcome = Day(Plan(name="x", fixed=2, scaler=plans.scaler(2, 8, 2)), costs).run(busy)
    assert max(count for _, count in outcome.counts) == 8
    assert outcome.counts[-1][1] == 2
    still = Day(Plan(name="x", fixed=2), costs).run(busy)
    assert outcome.attainment(5) > still.attainment(5)
    assert 2 * DAY_S < outcome.replica_s < 8 * DAY_S


requests = st.lists(
    st.builds(Request, at_s=st.floats(0, DAY_S - 1), tokens=st.integers(1, 500)), max_size=60
).map(lambda found: sorted(found, key=lambda request: request.at_s))


@given(day=requests, plan=st.sampled_from(plans.plans([1, 3], least=1, most=3, slots=2)))
def test_every_request_is_answered_or_refused_once(day, plan):
    outcome = Day(plan, ONE).run(day)
    assert len(outcome.first_token_s) + outcome.num_refused == len(day)
    assert all(each >= ONE.first_token_s - 1e-6 for each in outcome.first_token_s)
    most = max((count for _, count in outcome.counts), default=0)
    assert outcome.replica_s <= (most + 1) * (DAY_S + 3600)
