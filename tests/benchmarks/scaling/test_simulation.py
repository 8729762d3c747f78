"""Replicas against what can be computed by hand, and days against what must hold of any."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scaling import plans
from benchmarks.scaling.arrivals import DAY_S, Request, office_day, read
from benchmarks.scaling.replica import Costs, Replica
from benchmarks.scaling.simulation import ADMITTED, KV_USE, WAITING, Day, Plan
from tests.k8s.manifests import get, needs_kubectl, render

ONE = Costs(start_s=60, first_token_s=0.1, one_s=0.1, full_s=0.2, slots=2, queue=2)


def at(*times: float, tokens: int = 10) -> list[Request]:
    return [Request(at_s=time, tokens=tokens) for time in times]


def replica(costs: Costs = ONE) -> Replica:
    return Replica(costs=costs, born_at=0, ready_at=0)


def test_a_request_alone_takes_what_was_measured():
    one = replica()
    one.take(Request(at_s=0, tokens=10))
    assert one.first_tokens == [(Request(at_s=0, tokens=10), 0.1)]
    assert one.ends_at() == pytest.approx(1.0)


def test_two_at_once_are_each_slower_and_together_faster():
    one = replica()
    for request in at(0, 0):
        one.take(request)
    assert one.ends_at() == pytest.approx(2.0)


def test_the_third_waits_for_a_slot():
    one = replica()
    for request in at(0, 0, 0):
        one.take(request)
    assert len(one.waiting) == 1
    one.advance(2.5)
    (_, begun) = one.first_tokens[2]
    assert begun == pytest.approx(2.0 + 0.2)  # its prefill beside the other, whose tokens end too
    assert not one.waiting


def test_a_join_slows_the_one_that_runs_from_then_on():
    one = replica()
    one.take(Request(at_s=0, tokens=10))
    one.advance(0.5)  # five tokens
    one.take(Request(at_s=0.5, tokens=5))
    assert one.ends_at() == pytest.approx(0.5 + 5 * 0.2)


def test_the_kv_cache_fills_and_empties():
    one = replica(Costs(**{**vars_of(ONE), "kv_tokens": 1000, "prompt_tokens": 100}))
    assert one.kv_use() == 0
    one.take(Request(at_s=0, tokens=100))
    assert 0.1 < one.kv_use() < 0.2
    one.ends_at()
    assert one.kv_use() == 0


def vars_of(costs: Costs) -> dict[str, float]:
    return {name: getattr(costs, name) for name in costs.__slots__}


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


def test_a_made_up_day_is_the_same_for_the_same_seed_and_quiet_at_night():
    day = office_day(peak=0.5, mean_tokens=100, seed=1)
    assert day == office_day(peak=0.5, mean_tokens=100, seed=1)
    assert day != office_day(peak=0.5, mean_tokens=100, seed=2)
    by_hour = [sum(int(each.at_s // 3600) == hour for each in day) for hour in range(24)]
    assert sum(by_hour[:5]) < 10 < by_hour[10] > by_hour[12]
    assert sum(each.tokens for each in day) / len(day) == pytest.approx(100, rel=0.1)


def test_a_day_is_read_in_any_order_and_slips_are_named(tmp_path):
    file = tmp_path / "day.jsonl"
    file.write_text('{"at_s": 9, "tokens": 3}\n\n{"at_s": 1.5, "tokens": 7}\n')
    assert read(file) == [Request(at_s=1.5, tokens=7), Request(at_s=9, tokens=3)]
    for slip in ('{"at_s": 1}', "[]", '{"at_s": -1, "tokens": 1}', '{"at_s": 1, "tokens": 0}'):
        file.write_text('{"at_s": 9, "tokens": 3}\n' + slip)
        with pytest.raises(ValueError, match="line 2"):
            read(file)
    file.write_text("")
    with pytest.raises(ValueError, match="no request"):
        read(file)


@needs_kubectl
def test_the_plans_are_those_of_the_manifests():
    spec = get(render("variants/hpa"), "HorizontalPodAutoscaler", "intramural")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (plans.LEAST, plans.MOST)
    slots = int(
        get(render("variants/hpa"), "ConfigMap", "intramural")["data"]["INTRAMURAL_MAX_NUM_SEQS"]
    )
    quantities = {"4": 4.0, "700m": 0.7, "45": 45.0}
    assert {
        metric["pods"]["metric"]["name"]: quantities[metric["pods"]["target"]["averageValue"]]
        for metric in spec["metrics"]
    } == {
        WAITING: plans.TARGETS[WAITING],
        KV_USE: plans.TARGETS[KV_USE],
        ADMITTED: math.ceil(plans.FILLED * slots),
    }
    for name, ours in (("scaleUp", plans.UP), ("scaleDown", plans.DOWN)):
        theirs = spec["behavior"][name]
        assert theirs["stabilizationWindowSeconds"] == ours.window_s
        assert [
            (policy["type"], policy["value"], policy["periodSeconds"])
            for policy in theirs["policies"]
        ] == [(policy.kind, policy.value, policy.period_s) for policy in ours.policies]
    keda = get(render("variants/keda"), "ScaledObject", "intramural")["spec"]
    assert keda["cooldownPeriod"] == plans.IDLE_S
    cron = keda["triggers"][-1]["metadata"]
    assert (cron["start"].split()[1], cron["end"].split()[1]) == ("7", "19")
