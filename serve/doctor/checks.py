"""The checks, in the order in which they run and are printed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from serve.doctor import (
    audit,
    certificates,
    clock,
    deployment,
    egress,
    governance,
    gpu,
    keys,
    memory,
    model,
    stores,
)
from serve.doctor.deployment import Deployment
from serve.doctor.finding import Finding, skipped
from serve.doctor.machine import Machine

MACHINE: Mapping[str, Callable[[Machine], Finding]] = MappingProxyType(
    {
        "driver": gpu.driver,
        "cuda": gpu.cuda,
        "memory": memory.memory,
        "shared memory": memory.shared_memory,
        "model fit": model.fit,
        "model bytes": model.verified,
        "keys": keys.keys,
        "pepper": governance.pepper,
        "sealing keys": governance.sealing_keys,
        "identity provider": governance.identity_provider,
        "certificate": certificates.certificates,
        "address": keys.address,
        "database": stores.database,
        "space": stores.space,
        "counters": stores.cache,
        "usage that waits": stores.spool,
        "limits": governance.limits,
        "content filter": governance.content_filter,
        "presets": governance.presets,
        "alerts": governance.alerts,
        "masking": governance.masking,
        "audit": audit.audit,
        "routes": egress.routes,
        "egress trial": egress.trial,
        "clock": lambda _machine: clock.clock(),
    }
)
DEPLOYMENT: Mapping[str, Callable[[Deployment], Finding]] = MappingProxyType(
    {
        "alive": deployment.alive,
        "started": deployment.started,
        "ready": deployment.ready,
        "gate": deployment.gate,
        "transport": deployment.transport,
        "models": deployment.models,
        "load": deployment.load,
        "clock": deployment.skew,
    }
)


def examine_machine(machine: Machine) -> Iterator[tuple[str, Finding]]:
    """Run the checks; yields each one's name and finding at once."""
    for name, check in MACHINE.items():
        yield name, check(machine)


def examine_deployment(target: Deployment) -> Iterator[tuple[str, Finding]]:
    """Run the checks of a deployment. Where /livez does not answer, the others are skipped."""
    is_alive = True
    for name, check in DEPLOYMENT.items():
        finding = check(target) if is_alive else skipped("Not asked: nothing answers.")
        is_alive = is_alive and not (name == "alive" and finding.level == "failure")
        yield name, finding
