"""Every overlay and variant renders, is valid Kubernetes, and keeps to the rules."""

from __future__ import annotations

import re

import pytest

from models.memory.fit import GPU_STEP
from serve.observe.families import FAMILIES
from tests.k8s.manifests import K8S, RENDERED, ROOT, get, needs_kubectl, pods, render, settings
from tests.k8s.network_rules import selects
from tests.k8s.rules import faults

pytestmark = needs_kubectl

METRIC = re.compile(r"\bintramural_[a-z0-9_]+\b")
MAX_DEPLOYMENT_LINES = 90


def test_there_are_the_overlays_that_are_promised():
    promised = {f"overlays/{name}" for name in ("cpu", "gpu", "airgapped")}
    assert promised < set(RENDERED)
    assert {
        f"variants/{name}"
        for name in ("hpa", "keda", "gateway", "canary", "inference-pool", "site", "openshift")
    } < set(RENDERED)


@pytest.mark.parametrize("name", RENDERED)
def test_it_keeps_to_all_rules(name):
    assert faults(render(name)) == []


@pytest.mark.parametrize("name", RENDERED)
def test_everything_is_in_a_namespace_that_is_named(name):
    namespaces = {
        each["metadata"].get("namespace") for each in render(name) if each["kind"] != "Namespace"
    }
    assert namespaces <= {"intramural", "keda"}


def test_every_component_is_part_of_something_that_is_tested():
    used = "".join(path.read_text("utf-8") for path in K8S.glob("[ov]*/*/kustomization.yaml"))
    assert [
        path.name
        for path in (K8S / "components").iterdir()
        if f"components/{path.name}" not in used
    ] == []


def test_the_deployment_fits_on_two_screens():
    lines = (K8S / "base/server/deployment.yaml").read_text("utf-8").splitlines()
    assert len(lines) <= MAX_DEPLOYMENT_LINES


def reach(name: str, direction: str) -> dict[str, set[str]]:
    """By component of a pod: the policies that let it out, or others in."""
    manifests = render(name)
    found: dict[str, set[str]] = {}
    for pod in pods(manifests):
        for policy in manifests:
            if policy["kind"] != "NetworkPolicy" or not policy["spec"].get(direction):
                continue
            if selects(policy["spec"]["podSelector"], pod.labels):
                found.setdefault(pod.component, set()).add(policy["metadata"]["name"])
    return found


@pytest.mark.parametrize(
    ("name", "outward"),
    [
        ("overlays/cpu", {}),
        ("overlays/airgapped", {}),
        ("overlays/gpu", {"prefetch": {"prefetch-to-mirror"}}),
        ("variants/keda", {"prefetch": {"prefetch-to-mirror"}}),
        ("variants/hpa", {"prefetch": {"prefetch-to-mirror"}}),
        (
            "variants/site",
            {
                "prefetch": {"prefetch-to-mirror"},
                "server": {"server-to-stores", "server-to-witness"},
            },
        ),
    ],
)
def test_who_may_leave(name, outward):
    assert reach(name, "egress") == outward


def test_who_may_come_in():
    assert reach("overlays/gpu", "ingress") == {"server": {"gateway-to-server"}}
    assert reach("variants/keda", "ingress") == {
        "server": {"gateway-to-server", "interceptor-to-server", "prometheus-to-server"}
    }


def test_sizes_of_a_step_are_vllms_own():
    """Numbers of ours would be those of one card, and leave a larger one idle."""
    pinned = [
        (name, literal)
        for name in ("overlays/gpu", "overlays/airgapped", "variants/full-weights", "variants/hpa")
        for each in render(name)
        if each["kind"] == "ConfigMap"
        for literal in each.get("data", {})
        if literal in {"INTRAMURAL_MAX_NUM_SEQS", "INTRAMURAL_MAX_NUM_BATCHED_TOKENS"}
    ]
    assert pinned == []


def test_replicas_are_asked_for_before_the_sequences_of_one_are_taken():
    """0.7 of what vLLM takes on the cards that the component is for."""
    num_sequences = GPU_STEP[1]
    scaler = get(render("variants/hpa"), "HorizontalPodAutoscaler", "intramural")
    targets = {
        metric["pods"]["metric"]["name"]: metric["pods"]["target"]["averageValue"]
        for metric in scaler["spec"]["metrics"]
    }
    route = get(render("variants/keda"), "InterceptorRoute", "intramural")
    in_flight = route["spec"]["scalingMetric"]["concurrency"]["targetValue"]
    assert int(targets["intramural_requests_admitted"]) == in_flight == 7 * num_sequences // 10
    page = (ROOT / "docs/kubernetes.md").read_text("utf-8")
    assert f"| `intramural_requests_admitted` | {in_flight} | 0.7 of the {num_sequences} " in page
    assert f"{in_flight} requests per replica" in page


def sources() -> str:
    """All that the manifests and their page say."""
    texts = [path.read_text("utf-8") for path in K8S.rglob("*.yaml")]
    return "\n".join([*texts, (ROOT / "docs/kubernetes.md").read_text("utf-8")])


def test_every_metric_named_exists():
    known = {family.name for family in FAMILIES}
    named = {re.sub("_(bucket|count|sum)$", "", name) for name in METRIC.findall(sources())}
    assert {"intramural_requests_waiting", "intramural_kv_cache_usage_ratio"} <= named
    assert named - known == set()


def test_the_autoscaler_asks_for_what_the_adapter_gives():
    manifests = render("variants/hpa")
    (adapter,) = (m for m in manifests if m["metadata"]["name"] == "intramural-adapter-rules")
    scaler = get(manifests, "HorizontalPodAutoscaler", "intramural")
    for metric in scaler["spec"]["metrics"]:
        name = metric["pods"]["metric"]["name"]
        assert f"name: {{as: {name}}}" in adapter["data"]["config.yaml"]


def test_the_canary_differs_in_what_is_tried_and_shares_the_rest():
    manifests = render("variants/canary")
    stable, canary = (
        get(manifests, "Deployment", name) for name in ("intramural", "intramural-canary")
    )
    ours, theirs = (
        settings(manifests, each["spec"]["template"]["spec"]["containers"][0])
        for each in (stable, canary)
    )
    assert {name for name in ours | theirs if ours.get(name) != theirs.get(name)} == {
        "INTRAMURAL_ARM",
        "INTRAMURAL_MAX_NUM_BATCHED_TOKENS",
    }
    for each, arm in ((stable, "stable"), (canary, "canary")):
        name = each["metadata"]["name"]
        selector = get(manifests, "Service", name)["spec"]["selector"]
        assert selector == each["spec"]["selector"]["matchLabels"]
        assert selector["app.kubernetes.io/instance"] == arm
    assert (ours["INTRAMURAL_ARM"], theirs["INTRAMURAL_ARM"]) == ("stable", "canary")
    route = get(manifests, "HTTPRoute", "intramural")
    for rule in route["spec"]["rules"]:
        for backend in rule["backendRefs"]:
            assert get(manifests, "Service", backend["name"])


def test_images_are_visibly_to_be_replaced():
    for name in RENDERED:
        for pod in pods(render(name)):
            for container in pod.containers:
                assert re.fullmatch(
                    r"registry\.example/intramural-[cg]pu@sha256:0{64}", container["image"]
                )
