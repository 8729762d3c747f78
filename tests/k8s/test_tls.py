"""TLS of the manifests: somebody does it, and a slip is caught."""

from __future__ import annotations

import pytest

from tests.k8s.manifests import get, needs_kubectl, render
from tests.k8s.rules import faults
from tests.k8s.test_mutations import CPU, Mutation, pod, put, server, values

pytestmark = needs_kubectl

TLS = "variants/tls"
MUTATIONS: dict[str, tuple[str, Mutation, str]] = {
    "plain HTTP to whom it may concern": (
        CPU,
        put(values, INTRAMURAL_BEHIND_PROXY=None),
        "nobody does TLS",
    ),
    "plain probes of a server with TLS": (
        TLS,
        lambda m: server(m)["livenessProbe"]["httpGet"].pop("scheme"),
        "livenessProbe does not speak HTTPS",
    ),
    "a certificate out of no Secret": (
        TLS,
        put(values, INTRAMURAL_SSL_CERTFILE="/tmp/tls.crt"),
        "certificate is in no Secret",
    ),
    "a key for all": (
        TLS,
        lambda m: [v["secret"].pop("defaultMode") for v in pod(m)["volumes"] if v["name"] == "tls"],
        "key can be read by others",
    ),
    "plain scrapes of a server with TLS": (
        TLS,
        lambda m: get(m, "PodMonitor", "intramural")["spec"]["podMetricsEndpoints"][0].pop(
            "scheme"
        ),
        "another scheme",
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_it_is_caught(name: str) -> None:
    overlay, mutate, words = MUTATIONS[name]
    manifests = render(overlay)
    mutate(manifests)
    assert any(words in fault for fault in faults(manifests)), faults(manifests)


def test_the_ingress_checks_the_servers_certificate() -> None:
    annotations = get(render(TLS), "Ingress", "intramural")["metadata"]["annotations"]
    words = {key.rpartition("/")[2]: value for key, value in annotations.items()}
    assert words["backend-protocol"] == "HTTPS"
    assert words["proxy-ssl-verify"] == "on"
    assert words["proxy-ssl-name"] == "intramural.intramural.svc"
    assert words["proxy-buffering"] == "off", "what the component ingress says stays"
