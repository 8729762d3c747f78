"""Manifests with one thing wrong each: every one is caught, by the rule that is meant for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.k8s.manifests import Manifest, get, needs_kubectl, render
from tests.k8s.rules import faults

pytestmark = needs_kubectl

Mutation = Callable[[list[Manifest]], None]


def deployment(manifests: list[Manifest]) -> Manifest:
    return get(manifests, "Deployment", "intramural")["spec"]


def pod(manifests: list[Manifest]) -> Manifest:
    return deployment(manifests)["template"]["spec"]


def server(manifests: list[Manifest]) -> Manifest:
    return pod(manifests)["containers"][0]


def prefetch(manifests: list[Manifest]) -> Manifest:
    return get(manifests, "Deployment", "intramural-prefetch")["spec"]["template"]["spec"]


def policy(manifests: list[Manifest], name: str) -> Manifest:
    return get(manifests, "NetworkPolicy", name)["spec"]


def values(manifests: list[Manifest]) -> Manifest:
    return get(manifests, "ConfigMap", "intramural")["data"]


def put(where: Callable[[list[Manifest]], Manifest], **changes: Any) -> Mutation:
    """Set these keys there; None takes a key away."""

    def mutate(manifests: list[Manifest]) -> None:
        for key, value in changes.items():
            where(manifests).pop(key, None)
            if value is not None:
                where(manifests)[key] = value

    return mutate


def within(where: Callable[[list[Manifest]], Manifest], *path: str | int) -> Callable[..., Any]:
    def find(manifests: list[Manifest]) -> Any:
        found: Any = where(manifests)
        for step in path:
            found = found[step]
        return found

    return find


def drop(kind: str, name: str) -> Mutation:
    return lambda manifests: manifests.remove(get(manifests, kind, name))


def of(name: str) -> Callable[[list[Manifest]], Manifest]:
    return lambda manifests: policy(manifests, name)


def add(where: Callable[[list[Manifest]], Any], value: Any) -> Mutation:
    return lambda manifests: where(manifests).append(value)


CPU, GPU, SITE, OPENSHIFT = "overlays/cpu", "overlays/gpu", "variants/site", "variants/openshift"
CONTEXT = within(server, "securityContext")
IDENTITY = within(pod, "securityContext")
OUT = within(of("prefetch-to-mirror"), "egress")
IN = within(of("gateway-to-server"), "ingress")

MUTATIONS: dict[str, tuple[str, Mutation, str]] = {
    # Pod Security
    "a privileged container": (CPU, put(CONTEXT, privileged=True), "privileged"),
    "escalation is left open": (CPU, put(CONTEXT, allowPrivilegeEscalation=None), "Escalation"),
    "a writable root": (CPU, put(CONTEXT, readOnlyRootFilesystem=False), "root file system"),
    "capabilities are kept": (CPU, put(CONTEXT, capabilities=None), "capabilities"),
    "a capability is added": (
        CPU,
        put(CONTEXT, capabilities={"drop": ["ALL"], "add": ["NET_ADMIN"]}),
        "capabilities are added",
    ),
    "root by the container": (CPU, put(CONTEXT, runAsUser=0), "runAsUser"),
    "root by the pod": (CPU, put(IDENTITY, runAsUser=0), "runAsUser"),
    "root by the image": (CPU, put(IDENTITY, runAsNonRoot=None), "runAsNonRoot"),
    "no seccomp": (CPU, put(IDENTITY, seccompProfile=None), "seccompProfile"),
    "seccomp unconfined": (
        CPU,
        put(CONTEXT, seccompProfile={"type": "Unconfined"}),
        "seccompProfile",
    ),
    "the node's network": (CPU, put(pod, hostNetwork=True), "hostNetwork"),
    "the node's processes": (CPU, put(pod, hostPID=True), "hostPID"),
    "a folder of the node": (
        CPU,
        add(within(pod, "volumes"), {"name": "x", "hostPath": {"path": "/etc"}}),
        "hostPath",
    ),
    "a port of the node": (
        CPU,
        put(server, ports=[{"name": "http", "containerPort": 8000, "hostPort": 80}]),
        "port of the node",
    ),
    "the prefetch as root": (
        CPU,
        put(within(prefetch, "securityContext"), runAsUser=0),
        "intramural-prefetch: runAsUser",
    ),
    "a user that OpenShift refuses": (
        OPENSHIFT,
        put(IDENTITY, runAsUser=10001),
        "OpenShift gives its own",
    ),
    "no group for the volumes": (SITE, put(IDENTITY, fsGroup=None), "without fsGroup"),
    "the image's folder, which another user may not enter": (
        OPENSHIFT,
        put(server, workingDir=None),
        "workingDir",
    ),
    "a home that the image names": (OPENSHIFT, put(server, env=None), "HOME"),
    "every GPU of the node for a container that asked for none": (
        GPU,
        lambda m: prefetch(m)["initContainers"][0]["env"].pop(1),
        "not void",
    ),
    "no GPU for the one that asked": (
        GPU,
        add(within(server, "env"), {"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}),
        "device plugin",
    ),
    "NVIDIA's runtime for a pod without a GPU": (
        SITE,
        put(prefetch, runtimeClassName="nvidia"),
        "nothing asks for a GPU",
    ),
    "a namespace without enforcement": (
        CPU,
        lambda m: get(m, "Namespace", "intramural")["metadata"].pop("labels"),
        "Pod Security is not enforced",
    ),
    # Tokens, secrets, images
    "a token in the pod": (CPU, put(pod, automountServiceAccountToken=None), "token"),
    "a token by the account": (
        CPU,
        put(
            lambda m: get(m, "ServiceAccount", "intramural"),
            automountServiceAccountToken=True,
        ),
        "ServiceAccount/intramural",
    ),
    "a secret with data": (
        CPU,
        put(lambda m: get(m, "Secret", "intramural-keys"), stringData={"keys.json": "{}"}),
        "has data",
    ),
    "a literal token": (
        CPU,
        add(within(server, "env"), {"name": "HF_TOKEN", "value": "abc"}),
        "literal",
    ),
    "a key among the settings": (
        CPU,
        put(values, INTRAMURAL_SERVED_MODEL_NAME="sk-abcdefghijkl.secret"),
        "holds a key",
    ),
    "an image by tag": (CPU, put(server, image="registry.example/intramural-cpu:1"), "digest"),
    "an image without a registry": (CPU, put(server, image="intramural"), "digest"),
    "an init image by tag": (
        CPU,
        put(within(pod, "initContainers", 0), image="registry.example/x:latest"),
        "wait-for-model: the image",
    ),
    "keys that others in the pod may read": (
        CPU,
        lambda m: pod(m)["volumes"][1]["secret"].update(defaultMode=0o644),
        "0400",
    ),
    "service links": (CPU, put(pod, enableServiceLinks=None), "service links"),
    "a role": (
        CPU,
        lambda m: m.append(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "Role",
                "metadata": {"name": "x", "namespace": "intramural"},
                "rules": [],
            }
        ),
        "needs rights",
    ),
    # Network
    "no denial by default": (CPU, drop("NetworkPolicy", "default-deny"), "nothing denies"),
    "a denial of one direction": (
        CPU,
        put(of("default-deny"), policyTypes=["Ingress"]),
        "nothing denies",
    ),
    "to everybody": (GPU, put(within(OUT, 0), to=[]), "`to` is empty"),
    "to nobody named": (GPU, put(within(OUT, 0), to=None), "`to` is empty"),
    "from everybody": (CPU, put(within(IN, 0), **{"from": None}), "`from` is empty"),
    "to the internet": (
        GPU,
        put(within(OUT, 1), to=[{"ipBlock": {"cidr": "0.0.0.0/0"}}]),
        "not private",
    ),
    "to a public address": (
        GPU,
        put(within(OUT, 1), to=[{"ipBlock": {"cidr": "52.0.0.1/32"}}]),
        "not private",
    ),
    "to half of the intranet": (
        GPU,
        put(within(OUT, 1), to=[{"ipBlock": {"cidr": "10.0.0.0/8"}}]),
        "more than",
    ),
    "to every namespace": (
        GPU,
        put(within(OUT, 0), to=[{"namespaceSelector": {}}]),
        "empty namespaceSelector",
    ),
    "on every port": (GPU, put(within(OUT, 1), ports=None), "no ports"),
    "a policy for nobody": (
        CPU,
        put(of("gateway-to-server"), podSelector={"matchLabels": {"app": "intramurl"}}),
        "selects no pod",
    ),
    "a server that may leave": (
        GPU,
        put(
            of("prefetch-to-mirror"),
            podSelector={"matchLabels": {"app.kubernetes.io/name": "intramural"}},
        ),
        "may leave",
    ),
    "to a public address of IPv6": (
        GPU,
        put(within(OUT, 1), to=[{"ipBlock": {"cidr": "2001:db8::1/128"}}]),
        "not private",
    ),
    "to half of the intranet, by IPv6": (
        GPU,
        put(within(OUT, 1), to=[{"ipBlock": {"cidr": "fd00:20::/64"}}]),
        "more than",
    ),
    "an ingress that anybody may be": (
        SITE,
        put(within(of("ingress-to-server"), "ingress", 0), **{"from": [{}]}),
        "empty peer",
    ),
    # Life
    "too little time to start": (
        GPU,
        put(within(server, "startupProbe"), failureThreshold=30),
        "failureThreshold 36",
    ),
    "liveness by readiness": (
        CPU,
        put(within(server, "livenessProbe", "httpGet"), path="/readyz"),
        "livenessProbe",
    ),
    "no readiness": (CPU, put(server, readinessProbe=None), "readinessProbe"),
    "killed while draining": (CPU, put(pod, terminationGracePeriodSeconds=60), "a drain may take"),
    "a drain that outgrew its grace": (
        CPU,
        put(values, INTRAMURAL_SHUTDOWN_TIMEOUT="300"),
        "a drain may take",
    ),
    "no time for proxies": (CPU, put(server, lifecycle=None), "preStop"),
    "an update that takes replicas away": (
        CPU,
        lambda m: deployment(m)["strategy"]["rollingUpdate"].update(maxUnavailable=1),
        "before new ones are ready",
    ),
    "all replicas on one node": (CPU, put(pod, topologySpreadConstraints=None), "not spread"),
    "no disruption budget": (CPU, drop("PodDisruptionBudget", "intramural"), "disruptions"),
    "a service for nobody": (
        CPU,
        lambda m: get(m, "Service", "intramural")["spec"]["selector"].update(x="y"),
        "selects no server",
    ),
    "a store that the server may write": (
        CPU,
        lambda m: server(m)["volumeMounts"][0].pop("readOnly"),
        "may write the store",
    ),
    "64 MB of shared memory": (
        CPU,
        lambda m: server(m)["volumeMounts"].pop(3),
        "/dev/shm",
    ),
    "keys out of no Secret": (
        CPU,
        put(values, INTRAMURAL_API_KEY_FILE="/tmp/keys.json"),
        "key file",
    ),
    "no memory limit": (CPU, put(within(server, "resources"), limits=None), "no limit"),
    "no GPU for a GPU engine": (
        GPU,
        lambda m: server(m)["resources"]["limits"].pop("nvidia.com/gpu"),
        "GPUs",
    ),
    "fewer GPUs than shares": (
        GPU,
        put(values, INTRAMURAL_TENSOR_PARALLEL_SIZE="2"),
        "tensor-parallel-size is 2",
    ),
    "a start before the model is there": (
        CPU,
        lambda m: pod(m)["initContainers"].pop(0),
        "wait for the model",
    ),
    "a start without a key": (
        CPU,
        lambda m: pod(m)["initContainers"].pop(1),
        "wait for the keys",
    ),
    "a Job, which cannot be changed": (
        CPU,
        lambda m: get(m, "Deployment", "intramural-prefetch").update(kind="Job"),
        "a Job cannot be changed",
    ),
    "two that work on the store": (
        CPU,
        put(within(lambda m: get(m, "Deployment", "intramural-prefetch"), "spec"), strategy=None),
        "two would work",
    ),
    "a model that nobody verified": (
        CPU,
        lambda m: prefetch(m)["initContainers"].clear(),
        "nothing verifies",
    ),
    "a pull without a way": (GPU, drop("NetworkPolicy", "prefetch-to-mirror"), "reaches nothing"),
    "replicas that each apply resets": (
        "variants/hpa",
        lambda m: deployment(m).update(replicas=2),
        "reset",
    ),
    "a hasty scale-in": (
        "variants/hpa",
        lambda m: get(m, "HorizontalPodAutoscaler", "intramural")["spec"]["behavior"][
            "scaleDown"
        ].update(stabilizationWindowSeconds=60),
        "scales in",
    ),
    # Slips that schemas see
    "a misspelt field": (CPU, put(pod, securityContex={}), "securityContex"),
    "a misspelt field of a route": (
        "variants/gateway",
        lambda m: get(m, "HTTPRoute", "intramural")["spec"].update(hostname=["x"]),
        "hostname",
    ),
    "a scrape without a key": (
        "variants/hpa",
        lambda m: get(m, "PodMonitor", "intramural")["spec"]["podMetricsEndpoints"][0].pop(
            "authorization"
        ),
        "authorization",
    ),
    "a trigger of no kind": (
        "variants/keda",
        lambda m: get(m, "ScaledObject", "intramural")["spec"]["triggers"][0].update(type="http"),
        "ScaledObject",
    ),
    "a kind that nobody knows": (
        CPU,
        lambda m: get(m, "PodDisruptionBudget", "intramural").update(kind="PodDisruptionBudge"),
        "has no schema",
    ),
}


def test_there_are_enough_of_them():
    assert len(MUTATIONS) >= 40


@pytest.mark.parametrize("name", MUTATIONS)
def test_it_is_caught(name):
    overlay, mutate, word = MUTATIONS[name]
    manifests = render(overlay)
    mutate(manifests)
    assert manifests != render(overlay)
    found = faults(manifests)
    assert any(word in fault for fault in found), found


@pytest.mark.parametrize("overlay", sorted({overlay for overlay, _, _ in MUTATIONS.values()}))
def test_what_they_were_made_from_is_in_order(overlay):
    assert faults(render(overlay)) == []
