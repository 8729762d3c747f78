"""The plans are those of the manifests."""

from __future__ import annotations

import math

import pytest

from benchmarks.scaling import plans
from benchmarks.scaling.simulation import ADMITTED, KV_USE, WAITING
from models.memory.fit import GPU_STEP
from tests.k8s.manifests import get, needs_kubectl, render


@needs_kubectl
def test_the_plans_are_those_of_the_manifests():
    spec = get(render("variants/hpa"), "HorizontalPodAutoscaler", "intramural")["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (plans.LEAST, plans.MOST)
    _, slots = GPU_STEP  # vLLM's own, as the manifests set none
    quantities = {"4": 4.0, "700m": 0.7, "179": 179.0}
    assert {
        metric["pods"]["metric"]["name"]: quantities[metric["pods"]["target"]["averageValue"]]
        for metric in spec["metrics"]
    } == {
        WAITING: plans.TARGETS[WAITING],
        KV_USE: plans.TARGETS[KV_USE],
        ADMITTED: math.floor(plans.FILLED * slots),
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


def test_fixed_sizes_come_first_and_names_are_unique():
    found = plans.plans([1, 4], least=2, most=5, slots=10)
    names = [plan.name for plan in found]
    assert names[:2] == ["static 1", "static 4"]
    assert [plan.fixed for plan in found[:2]] == [1, 4]
    assert all(plan.scaler is None for plan in found[:2])
    assert len(names) == len(set(names))
    assert [plan.name for plan in plans.plans([], least=1, most=1, slots=1)] == names[2:]


def test_a_replica_is_full_before_its_slots_are_taken():
    own = plans.scaler(2, 5, 10)
    assert own.targets[ADMITTED] == pytest.approx(7.0)
    assert (own.least, own.most) == (2, 5)
    assert ADMITTED not in plans.scaler(2, 5, 10, is_late=True).targets


def test_only_those_that_fall_asleep_start_with_nothing():
    asleep = [p for p in plans.plans([], least=2, most=5, slots=1) if p.idle_s is not None]
    assert [(plan.name, plan.fixed) for plan in asleep] == [("keda", 0), ("keda, never warm", 0)]
    assert asleep[0].warm
    assert asleep[1].warm is None
