"""The component as kubectl renders it: valid, and a rule that is broken is found."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.k8s.manifests import Manifest, get, needs_kubectl, render
from tests.k8s.rules import faults
from tests.monitoring import rule_files

pytestmark = needs_kubectl

NAME = "variants/hpa"


def rule(manifests: list[Manifest]) -> Manifest:
    found: Manifest = get(manifests, "PrometheusRule", "intramural")["spec"]["groups"][0]["rules"][
        0
    ]
    return found


def endpoint(manifests: list[Manifest]) -> Manifest:
    found: Manifest = get(manifests, "PodMonitor", "intramural")["spec"]["podMetricsEndpoints"][0]
    return found


def test_it_ships_the_rules_as_they_are() -> None:
    resource = get(render(NAME), "PrometheusRule", "intramural")
    assert resource["spec"] == rule_files.shipped()


def test_a_pod_that_waits_for_its_model_is_no_target() -> None:
    assert endpoint(render(NAME))["relabelings"] == [
        {"sourceLabels": ["__meta_kubernetes_pod_phase"], "regex": "Running", "action": "keep"}
    ]


@pytest.mark.parametrize(
    "harm",
    [
        lambda manifests: rule(manifests).pop("for"),
        lambda manifests: rule(manifests).update({"for": "soon"}),
        lambda manifests: rule(manifests).update(severity="critical"),
        lambda manifests: rule(manifests)["labels"].update(level=1),
        lambda manifests: rule(manifests).update(expr=""),
        lambda manifests: endpoint(manifests)["relabelings"][0].pop("action"),
        lambda manifests: endpoint(manifests)["relabelings"][0].update(source_labels=["x"]),
    ],
    ids=["no for", "a for", "a key", "a label", "no expr", "no action", "the plain key"],
)
def test_a_broken_one_is_found(harm: Callable[[list[Manifest]], object]) -> None:
    manifests = render(NAME)
    assert faults(manifests) == []
    harm(manifests)
    assert faults(manifests)
