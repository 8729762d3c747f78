"""Components put together by a site in ways that no overlay here has."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.k8s.manifests import K8S, LOADER, Manifest, needs_kubectl, pods, settings

pytestmark = needs_kubectl


def composed(folder: Path, resource: str, *components: str) -> subprocess.CompletedProcess[str]:
    """What kubectl says of a folder of a site's own."""
    above = os.path.relpath(K8S.resolve(), folder.resolve())
    (folder / "kustomization.yaml").write_text(
        yaml.safe_dump(
            {
                "apiVersion": "kustomize.config.k8s.io/v1beta1",
                "kind": "Kustomization",
                "resources": [f"{above}/{resource}"],
                "components": [f"{above}/components/{name}" for name in components],
            }
        )
    )
    return subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False
    )


def rendered(folder: Path, resource: str, *components: str) -> list[Manifest]:
    ran = composed(folder, resource, *components)
    assert (ran.returncode, ran.stderr) == (0, "")
    return list(yaml.load_all(ran.stdout, Loader=LOADER))


@pytest.mark.parametrize("component", ["hub-token", "mirror-ca"])
@pytest.mark.parametrize(
    ("resource", "others"), [("overlays/airgapped", []), ("base", []), ("base", ["pull"])]
)
def test_what_is_for_the_pull_renders_nothing_without_it_or_before_it(
    tmp_path: Path, component: str, resource: str, others: list[str]
) -> None:
    """A step without an image and a command would be refused in the middle of an apply."""
    ran = composed(tmp_path, resource, component, *others)
    assert ran.returncode != 0
    assert f"components/{component}" in ran.stderr
    assert ran.stdout == ""


@pytest.mark.parametrize("names", [("hub-token", "mirror-ca"), ("mirror-ca", "hub-token")])
def test_both_are_for_the_pull_in_either_order(tmp_path: Path, names: tuple[str, str]) -> None:
    manifests = rendered(tmp_path, "base", "pull", *names)
    (prefetch,) = (pod for pod in pods(manifests) if pod.component == "prefetch")
    steps = prefetch.spec["initContainers"]
    assert [step["name"] for step in steps] == ["pull", "verify", "quantise"]
    assert {"HF_TOKEN_PATH", "SSL_CERT_FILE"} <= {each["name"] for each in steps[0]["env"]}


@pytest.mark.parametrize(
    ("component", "setting", "value"),
    [("dual-stack", "INTRAMURAL_HOST", "::"), ("full-weights", "INTRAMURAL_QUANT", "none")],
)
def test_a_setting_of_a_component_is_every_arms(
    tmp_path: Path, component: str, setting: str, value: str
) -> None:
    manifests = rendered(tmp_path, "variants/canary", component)
    found = {
        pod.owner: settings(manifests, pod.spec["containers"][0])[setting]
        for pod in pods(manifests)
    }
    assert found == dict.fromkeys(
        ("Deployment/intramural", "Deployment/intramural-canary", "Deployment/intramural-prefetch"),
        value,
    )


def test_the_prefetch_quantises_for_as_many_devices_as_share_a_layer(tmp_path: Path) -> None:
    """Else a matrix comes out that cannot be divided, and every start fails."""
    manifests = rendered(tmp_path, "overlays/gpu")
    (prefetch,) = (pod for pod in pods(manifests) if pod.component == "prefetch")
    script = prefetch.spec["initContainers"][-1]["command"][-1]
    (tmp_path / "python").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "python").chmod(0o700)
    variables = {"INTRAMURAL_MODEL": "m", "INTRAMURAL_QUANT": "int4", "PATH": str(tmp_path)}
    told = []
    for size in ({}, {"INTRAMURAL_TENSOR_PARALLEL_SIZE": "4"}):
        ran = subprocess.run(
            ["/bin/sh", "-c", script],
            env=variables | size,
            capture_output=True,
            text=True,
            check=True,
        )
        told.append(ran.stdout.split())
    common = ["-m", "quantize", "m", "--scheme", "int4", "--tp"]
    assert told == [[*common, "1", "--if-needed"], [*common, "4", "--if-needed"]]


def test_openshift_goes_with_an_overlay_that_asks_for_no_name(tmp_path: Path) -> None:
    manifests = rendered(tmp_path, "overlays/airgapped", "audit", "openshift")
    found = {pod.component: pod for pod in pods(manifests)}
    assert found.keys() == {"server", "prefetch", "audit-prune"}
    for pod in found.values():
        assert pod.is_openshifts
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & set(pod.spec["securityContext"])


def test_the_audit_is_every_arms_and_pruned_by_one_job(tmp_path: Path) -> None:
    manifests = rendered(tmp_path, "variants/canary", "audit")
    found = [pod for pod in pods(manifests) if pod.component == "server"]
    (prune,) = (pod for pod in pods(manifests) if pod.component == "audit-prune")
    assert len(found) == 2
    for pod in found:
        values = settings(manifests, pod.spec["containers"][0])
        assert values["INTRAMURAL_AUDIT_HOLDS_FILE"] == "/etc/intramural/audit-holds/holds.toml"
        assert "/etc/intramural/audit-holds" in str(pod.spec["containers"][0]["volumeMounts"])
    assert "@sha256:" in prune.containers[0]["image"]


def test_tls_is_every_arms(tmp_path: Path) -> None:
    manifests = rendered(tmp_path, "variants/canary", "tls")
    found = [pod for pod in pods(manifests) if pod.component == "server"]
    assert len(found) == 2
    for pod in found:
        values = settings(manifests, pod.spec["containers"][0])
        assert values["INTRAMURAL_BEHIND_PROXY"] == "false"
        assert values["INTRAMURAL_SSL_KEYFILE"] == "/etc/intramural/tls/tls.key"
        assert "/etc/intramural/tls" in str(pod.spec["containers"][0]["volumeMounts"])
        for step in pod.spec["initContainers"]:
            assert "/etc/intramural/tls" not in str(step["volumeMounts"])
