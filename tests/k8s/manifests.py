"""The manifests as kubectl renders them, and how tests look into them."""

from __future__ import annotations

import copy
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import kubernetes_validate.utils
import yaml
from jsonschema import Draft202012Validator

from tests.house.tree import ROOT
from tests.programs import needs

Manifest = dict[str, Any]

K8S = ROOT / "k8s"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's, five times as fast, where PyYAML was built with it."""
RENDERED = sorted(
    path.relative_to(K8S).as_posix()
    for folder in ("overlays", "variants")
    for path in (K8S / folder).iterdir()
)
VERSIONS = ("1.32", "1.37")
"""The oldest Kubernetes that is meant, and the newest that the validator knows."""
kubernetes_validate.utils.schema_contents = cache(kubernetes_validate.utils.schema_contents)
"""It reads and parses megabytes for each object: once will do."""
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+):-(\w+)\})")
SCHEMAS = Path(__file__).parent / "schemas"

needs_kubectl = needs("kubectl")


@cache
def _rendered(name: str) -> list[Manifest]:
    ran = subprocess.run(
        ["kubectl", "kustomize", str(K8S / name)], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return [found for found in yaml.load_all(ran.stdout, Loader=LOADER) if found]


def render(name: str) -> list[Manifest]:
    """All objects of an overlay or a variant; the caller's own to change."""
    return copy.deepcopy(_rendered(name))


def get(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """The one of that kind and name; settings by the beginning of theirs."""
    (found,) = (
        each
        for each in manifests
        if each["kind"] == kind
        and (
            each["metadata"]["name"] == name
            or (kind == "ConfigMap" and each["metadata"]["name"].rpartition("-")[0] == name)
        )
    )
    return found


@dataclass(frozen=True, kw_only=True)
class Pod:
    """A pod template, and whose it is: `Deployment/intramural`."""

    owner: str
    metadata: Manifest
    spec: Manifest

    @property
    def component(self) -> str:
        return str(self.metadata.get("labels", {}).get("app.kubernetes.io/component", ""))

    @property
    def labels(self) -> dict[str, str]:
        labels: dict[str, str] = self.metadata.get("labels", {})
        return labels

    @property
    def is_openshifts(self) -> bool:
        """Whether OpenShift gives it its user and group."""
        return "openshift.io/required-scc" in self.metadata.get("annotations", {})

    @property
    def containers(self) -> list[Manifest]:
        return [*self.spec.get("initContainers", ()), *self.spec["containers"]]


def pods(manifests: list[Manifest]) -> Iterator[Pod]:
    for each in manifests:
        if each["kind"] in {"Deployment", "Job", "CronJob"}:
            spec = each["spec"]
            template = spec.get("jobTemplate", {}).get("spec", spec)["template"]
            owner = f"{each['kind']}/{each['metadata']['name']}"
            yield Pod(owner=owner, metadata=template["metadata"], spec=template["spec"])


def settings(manifests: list[Manifest], container: Manifest) -> dict[str, str]:
    """The environment of a container, as far as the manifests say it; references expanded."""
    known = {
        each["metadata"]["name"]: each["data"]
        for each in manifests
        if each["kind"] == "ConfigMap" and "data" in each
    }
    values: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        values |= known[source["configMapRef"]["name"]]
    for variable in container.get("env", ()):
        if "value" in variable:
            values[variable["name"]] = expanded(variable["value"], values)
    return values


def filled(word: str, values: dict[str, str]) -> str:
    """The word with the shell's variables replaced; one without a value or a default stays."""
    return _VARIABLE.sub(
        lambda found: values.get(found[1] or found[2]) or found[3] or found[0], word
    )


def expanded(text: str, values: dict[str, str]) -> str:
    """$(NAME) replaced, as the kubelet does it."""
    for name, value in values.items():
        text = text.replace(f"$({name})", value)
    return text


def schema_faults(manifests: list[Manifest]) -> Iterator[str]:
    """What Kubernetes' own schemas, and ours for kinds that they do not have, refuse."""
    for each in manifests:
        where = f"{each['kind']}/{each['metadata']['name']}"
        file = SCHEMAS / f"{each['kind'].lower()}.json"
        if file.is_file():
            schema = json.loads(file.read_text("utf-8"))
            for fault in Draft202012Validator(schema).iter_errors(each):
                yield f"{where}: {fault.json_path}: {fault.message[:200]}"
        else:
            yield from _native_faults(json.dumps(each), where)
    for pod in pods(manifests):  # templates within custom resources, too
        template = {"metadata": pod.metadata, "spec": pod.spec}
        wrapped = {
            "apiVersion": "v1",
            "kind": "PodTemplate",
            "metadata": {"name": "x"},
            "template": template,
        }
        yield from _native_faults(json.dumps(wrapped), pod.owner)


@cache
def _native_faults(text: str, where: str) -> tuple[str, ...]:
    """Of one object as JSON: most of them are the same in most overlays."""
    faults = []
    for version in VERSIONS:
        manifest = json.loads(text)
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            faults.append(f"{where}: {manifest['apiVersion']} {manifest['kind']} has no schema")
        except kubernetes_validate.ValidationError as fault:
            path = ".".join(map(str, fault.path))
            faults.append(f"{where}: {path}: {fault.message[:200]}")
    return tuple(faults)
