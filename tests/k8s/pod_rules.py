"""What every pod keeps to: Kubernetes' Pod Security Standard *restricted*, and rules of ours.

Source of the standard: kubernetes.io/docs/concepts/security/pod-security-standards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.k8s.manifests import Manifest, Pod, pods

VOLUMES = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim"}
    | {"projected", "secret"}
)
PINNED = re.compile(r"[a-z0-9.-]+(:\d+)?/[a-z0-9._/-]+@sha256:[0-9a-f]{64}")
SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|CREDENTIAL|(^|_)KEY($|_)")
KEY = re.compile(r"sk-[A-Za-z0-9_-]{12}\.|-----BEGIN|hf_[A-Za-z0-9]{20}")


def pod_faults(manifests: list[Manifest]) -> Iterator[str]:
    for pod in pods(manifests):
        for fault in (*_standard(pod), *_house(pod)):
            yield f"{pod.owner}: {fault}"
        for container in pod.containers:
            for fault in (
                *_container_standard(container),
                *_container_house(container),
                *_gpu_faults(pod, container),
            ):
                yield f"{pod.owner}/{container['name']}: {fault}"


def _standard(pod: Pod) -> Iterator[str]:
    spec, context = pod.spec, pod.spec.get("securityContext", {})
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield f"{name} is set"
    for volume in spec.get("volumes", ()):
        for kind in set(volume) - {"name"} - VOLUMES:
            yield f"volume {volume['name']} is of the kind {kind}"
    if pod.is_openshifts:
        for name in {"runAsUser", "runAsGroup", "fsGroup"} & set(context):
            yield f"{name} is set, and OpenShift gives its own"
        context = context | {"runAsUser": "OpenShift's"}
    yield from _identity(context, is_pod=True)
    if context.get("sysctls"):
        yield "it sets sysctls"
    if "ephemeralContainers" in spec:
        yield "it has ephemeral containers"


def _identity(context: Manifest, *, is_pod: bool) -> Iterator[str]:
    """Of a pod all is needed; a container may only not take it back."""
    if context.get("runAsNonRoot", not is_pod) is not True:
        yield "runAsNonRoot is not true"
    if context.get("runAsUser", 0 if is_pod else 1) == 0:
        yield "runAsUser is root, or left to the image"
    seccomp = context.get("seccompProfile", {"type": None if is_pod else "RuntimeDefault"})
    if seccomp["type"] not in {"RuntimeDefault", "Localhost"}:
        yield "seccompProfile is not RuntimeDefault"
    if context.get("windowsOptions", {}).get("hostProcess"):
        yield "hostProcess is set"
    selinux = context.get("seLinuxOptions", {})
    if "user" in selinux or "role" in selinux:
        yield "seLinuxOptions name a user or a role"
    if context.get("appArmorProfile", {}).get("type") == "Unconfined":
        yield "AppArmor is unconfined"


def _container_standard(container: Manifest) -> Iterator[str]:
    context = container.get("securityContext", {})
    yield from _identity(context, is_pod=False)
    if context.get("privileged"):
        yield "it is privileged"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "allowPrivilegeEscalation is not false"
    capabilities = context.get("capabilities", {})
    if capabilities.get("drop") != ["ALL"]:
        yield "not all capabilities are dropped"
    if set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
        yield "capabilities are added"
    if context.get("procMount", "Default") != "Default":
        yield "procMount is not Default"
    if any("hostPort" in port for port in container.get("ports", ())):
        yield "it takes a port of the node"


def _house(pod: Pod) -> Iterator[str]:
    if pod.spec.get("automountServiceAccountToken") is not False:
        yield "a token of the service account is mounted"
    if pod.spec.get("serviceAccountName") != "intramural":
        yield "the service account is not intramural's own"
    if pod.spec.get("enableServiceLinks") is not False:
        yield "service links would set INTRAMURAL_ variables"
    if not pod.is_openshifts and pod.spec["securityContext"].get("fsGroup") != 10001:
        yield "without fsGroup 10001 it cannot read its keys or write the store"
    for volume in pod.spec.get("volumes", ()):
        if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
            yield f"volume {volume['name']} has no bound"
        if "secret" in volume and volume["secret"].get("defaultMode") != 0o400:
            yield f"volume {volume['name']} is not for its owner alone (0400)"


def _container_house(container: Manifest) -> Iterator[str]:
    if container.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
        yield "the root file system can be written"
    if not PINNED.fullmatch(container["image"]):
        yield f"the image is not pinned by digest: {container['image']}"
    resources = container.get("resources", {})
    if "memory" not in resources.get("limits", {}):
        yield "memory has no limit"
    if not {"cpu", "memory"} <= set(resources.get("requests", {})):
        yield "cpu and memory are not requested"
    if container.get("workingDir") != "/tmp":
        yield "workingDir is the image's, which another user may not enter"
    if {"name": "HOME", "value": "/tmp"} not in container.get("env", ()):
        yield "HOME is the image's"
    for variable in container.get("env", ()):
        value = variable.get("value", "")
        if SECRET_NAME.search(variable["name"]) and value and not value.startswith("/"):
            yield f"{variable['name']} holds a literal"


def _gpu_faults(pod: Pod, container: Manifest) -> Iterator[str]:
    """NVIDIA's runtime obeys a variable, which images set to all. Who asked for no GPU gets none.

    Who asked gets it from the device plugin, and a variable of the manifest's would win over that.
    """
    (visible,) = [
        variable["value"]
        for variable in container.get("env", ())
        if variable["name"] == "NVIDIA_VISIBLE_DEVICES"
    ] or [None]
    has_gpu = "nvidia.com/gpu" in container.get("resources", {}).get("limits", {})
    if has_gpu and visible is not None:
        yield "NVIDIA_VISIBLE_DEVICES is set, and the device plugin's word does not count"
    if not has_gpu and visible != "void":
        yield "NVIDIA_VISIBLE_DEVICES is not void: it may see GPUs that it did not ask for"
    has_gpus = any("nvidia.com/gpu" in str(each.get("resources")) for each in pod.containers)
    if pod.spec.get("runtimeClassName") and not has_gpus:
        yield "runtimeClassName is set, and nothing asks for a GPU"


def secret_faults(manifests: list[Manifest]) -> Iterator[str]:
    """No manifest holds a secret: neither in a Secret, nor anywhere else."""
    for each in manifests:
        where = f"{each['kind']}/{each['metadata']['name']}"
        if each["kind"] == "Secret" and {"data", "stringData"} & set(each):
            yield f"{where}: a Secret in a manifest has data"
        if KEY.search(str(each)):
            yield f"{where}: it holds a key"
        if (
            each["kind"] == "ServiceAccount"
            and each.get("automountServiceAccountToken") is not False
        ):
            yield f"{where}: its token is mounted by default"
        if each["kind"] in {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"}:
            yield f"{where}: nothing of ours needs rights on Kubernetes"
        labels = each["metadata"].get("labels", {})
        if each["kind"] == "Namespace" and (
            labels.get("pod-security.kubernetes.io/enforce") != "restricted"
        ):
            yield f"{where}: Pod Security is not enforced"
