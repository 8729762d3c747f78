"""The plans are those of the manifests."""

from __future__ import annotations

import math

from benchmarks.scaling import plans
from benchmarks.scaling.simulation import ADMITTED, KV_USE, WAITING
from tests.k8s.manifests import get, needs_kubectl, render


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
