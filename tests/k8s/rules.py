"""All rules together: what an overlay must pass, and what a broken one must not."""

from __future__ import annotations

from tests.k8s.manifests import Manifest, schema_faults
from tests.k8s.network_rules import network_faults
from tests.k8s.pod_rules import pod_faults, secret_faults
from tests.k8s.server_rules import server_faults


def faults(manifests: list[Manifest]) -> list[str]:
    """Everything that is wrong, one line each."""
    return [
        *schema_faults(manifests),
        *pod_faults(manifests),
        *secret_faults(manifests),
        *network_faults(manifests),
        *server_faults(manifests),
    ]
