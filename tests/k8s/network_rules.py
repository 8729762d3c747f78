"""What every NetworkPolicy keeps to: all is denied; each exception names its peer and its port."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from tests.k8s.manifests import Manifest, Pod, pods

PRIVATE = [
    ipaddress.ip_network(net)
    for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
]
MOST_ADDRESSES = 256
NAMED_WAYS = {
    "server-to-stores": ({53}, {5432}, {6379}),
    "server-to-witness": ({53}, {8443}),
}
"""Policies by which servers leave for pods that are named, and the ports of each of their rules."""
ELSEWHERE = "intramural-epp"
"""Pods that another project's installation brings; policies may be for them."""


def network_faults(manifests: list[Manifest]) -> Iterator[str]:
    policies = [each for each in manifests if each["kind"] == "NetworkPolicy"]
    inside = {each["metadata"].get("namespace") for each in manifests if each["kind"] in _WORK}
    for namespace in inside:
        if not any(_denies_all(each, namespace) for each in policies):
            yield f"namespace {namespace}: nothing denies by default"
    for policy in policies:
        where = f"NetworkPolicy/{policy['metadata']['name']}"
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for rule in policy["spec"].get(direction, ()):
                for fault in _rule_faults(rule, peers):
                    yield f"{where}: {direction}: {fault}"
            if direction in policy["spec"] and direction.capitalize() not in policy["spec"].get(
                "policyTypes", ()
            ):
                yield f"{where}: it has {direction} rules and is not of that type"
        selector = policy["spec"]["podSelector"]
        is_for_ours = selector and ELSEWHERE not in str(selector)
        if is_for_ours and not any(selects(selector, pod.labels) for pod in pods(manifests)):
            yield f"{where}: it selects no pod"
    yield from _reach_faults(manifests, policies)


_WORK = {"Deployment", "Job", "CronJob"}


def _denies_all(policy: Manifest, namespace: str | None) -> bool:
    spec = policy["spec"]
    return (
        policy["metadata"].get("namespace") == namespace
        and spec["podSelector"] == {}
        and set(spec.get("policyTypes", ())) == {"Ingress", "Egress"}
        and not {"ingress", "egress"} & set(spec)
    )


def _rule_faults(rule: Manifest, peers: str) -> Iterator[str]:
    if not rule.get(peers):
        yield f"`{peers}` is empty, which is everybody"
    for peer in rule.get(peers) or ():
        yield from _peer_faults(peer)
    if not rule.get("ports"):
        yield "no ports are named, which is all of them"
    if any("port" not in port or "endPort" in port for port in rule.get("ports") or ()):
        yield "a range of ports, or all of them"


def _peer_faults(peer: Manifest) -> Iterator[str]:
    if not peer:
        yield "an empty peer is everybody"
    block = peer.get("ipBlock")
    if block is not None:
        net = ipaddress.ip_network(block["cidr"])
        if not any(net.version == each.version and net.subnet_of(each) for each in PRIVATE):
            yield f"{net} is not private (RFC 1918, RFC 4193)"
        elif net.num_addresses > MOST_ADDRESSES:
            yield f"{net} is more than {MOST_ADDRESSES} addresses"
    for selector in ("namespaceSelector", "podSelector"):
        if selector in peer and not peer[selector]:
            yield f"an empty {selector} is everybody"


def _reach_faults(manifests: list[Manifest], policies: list[Manifest]) -> Iterator[str]:
    """A server opens no connection, not even for a name, but to the stores that replicas share."""
    for pod in pods(manifests):
        if pod.component != "server":
            continue
        for policy in policies:
            spec = policy["spec"]
            if policy["metadata"]["name"] in NAMED_WAYS:
                yield from _named_faults(policy)
            elif selects(spec["podSelector"], pod.labels) and spec.get("egress"):
                yield f"{pod.owner}: may leave by NetworkPolicy/{policy['metadata']['name']}"


def _named_faults(policy: Manifest) -> Iterator[str]:
    """They lead to pods that are named, and to the name server, at their own ports alone."""
    name = policy["metadata"]["name"]
    for rule in policy["spec"]["egress"]:
        numbers = {port["port"] for port in rule["ports"]}
        if numbers not in NAMED_WAYS[name]:
            yield f"NetworkPolicy/{name}: ports {sorted(numbers)} are none of its own"
        if not all({"namespaceSelector", "podSelector"} == set(peer) for peer in rule["to"]):
            yield f"NetworkPolicy/{name}: a peer is not named by namespace and pod"


def selects(selector: Manifest, labels: dict[str, str]) -> bool:
    """Whether a label selector takes a pod of these labels (matchLabels, and In expressions)."""
    wanted = selector.get("matchLabels", {})
    chosen = all(labels.get(key) == value for key, value in wanted.items())
    for term in selector.get("matchExpressions", ()):
        if term["operator"] != "In":
            raise ValueError(f"operator {term['operator']} is not used here")
        chosen = chosen and labels.get(term["key"]) in term["values"]
    return chosen


def server_pods(manifests: list[Manifest]) -> list[Pod]:
    return [pod for pod in pods(manifests) if pod.component == "server"]
