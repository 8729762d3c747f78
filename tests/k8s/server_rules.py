"""What makes replicas start once, stop whole and scale: probes, drain, store, keys, targets."""

from __future__ import annotations

import math
from collections.abc import Iterator

from serve.bootstrap import STOP_TIMEOUT_S
from tests.k8s.manifests import Manifest, Pod, get, pods, settings
from tests.k8s.network_rules import selects, server_pods

START_S = 300
"""Import, engine, warm-up and compilation, on a slow machine."""
STORE_BYTES_PER_S = 100e6
"""The slowest store that one should serve from: the weights are read once, hashed on the way."""
CLOSE_S = STOP_TIMEOUT_S + 10
"""From the end of the drain: the HTTP server's close, the engine's, Python's."""
SLOWEST_SCALE_IN_S = 300


def startup_seconds(weight_bytes: int) -> float:
    """How long a start may take. docs/kubernetes.md has the formula."""
    return START_S + weight_bytes / STORE_BYTES_PER_S


def server_faults(manifests: list[Manifest]) -> Iterator[str]:
    found = server_pods(manifests)
    if not found:
        yield "there is no server"
    for pod in found:
        (server,) = (each for each in pod.containers if each["name"] == "server")
        values = settings(manifests, server)
        for fault in (
            *_probe_faults(pod, server),
            *_tls_faults(pod, server, values),
            *_drain_faults(pod, server, values),
            *_storage_faults(pod, server, values),
            *_gpu_faults(server, values),
        ):
            yield f"{pod.owner}: {fault}"
    yield from _monitor_faults(manifests)
    yield from _deployment_faults(manifests)
    yield from _selector_faults(manifests)
    yield from _prefetch_faults(manifests)
    yield from _scaling_faults(manifests)


def _probe_faults(pod: Pod, server: Manifest) -> Iterator[str]:
    for name, path in (
        ("startupProbe", "/startupz"),
        ("livenessProbe", "/livez"),
        ("readinessProbe", "/readyz"),
    ):
        if server.get(name, {}).get("httpGet", {}).get("path") != path:
            yield f"{name} does not ask {path}"
    probe = server.get("startupProbe", {})
    allowed = probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)
    size = int(pod.metadata.get("annotations", {}).get("intramural/weight-bytes", 10**15))
    if allowed < startup_seconds(size):
        least = math.ceil(startup_seconds(size) / probe.get("periodSeconds", 10))
        yield f"startupProbe ends a start after {allowed} s: failureThreshold {least} is needed"


def _tls_faults(pod: Pod, server: Manifest, values: dict[str, str]) -> Iterator[str]:
    """Somebody does TLS, and whoever asks the server knows who."""
    certificate = values.get("INTRAMURAL_SSL_CERTFILE")
    if certificate is None:
        if values.get("INTRAMURAL_BEHIND_PROXY") != "true":
            yield "nobody does TLS"
    else:
        folder = certificate.rpartition("/")[0]
        volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
        mounted = [m["name"] for m in server["volumeMounts"] if m["mountPath"] == folder]
        if not mounted or "secret" not in volumes[mounted[0]]:
            yield "the certificate is in no Secret"
        elif volumes[mounted[0]]["secret"].get("defaultMode") != 0o400:
            yield "the certificate's key can be read by others"
    scheme = "HTTP" if certificate is None else "HTTPS"
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        if server.get(name, {}).get("httpGet", {}).get("scheme", "HTTP") != scheme:
            yield f"{name} does not speak {scheme}"


def _monitor_faults(manifests: list[Manifest]) -> Iterator[str]:
    """Prometheus speaks what the servers speak."""
    for monitor in (each for each in manifests if each["kind"] == "PodMonitor"):
        for pod in server_pods(manifests):
            if not selects(monitor["spec"]["selector"], pod.labels):
                continue
            (server,) = (each for each in pod.containers if each["name"] == "server")
            is_tls = "INTRAMURAL_SSL_CERTFILE" in settings(manifests, server)
            for endpoint in monitor["spec"]["podMetricsEndpoints"]:
                if (endpoint.get("scheme", "http") == "https") is not is_tls:
                    yield f"{pod.owner}: Prometheus asks by another scheme"


def _drain_faults(pod: Pod, server: Manifest, values: dict[str, str]) -> Iterator[str]:
    pause = server.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    if pause < 5:
        yield "preStop does not wait until proxies have heard of it"
    grace = pod.spec.get("terminationGracePeriodSeconds", 30)
    drain = float(values["INTRAMURAL_SHUTDOWN_TIMEOUT"])
    needed = pause + float(values.get("INTRAMURAL_SHUTDOWN_DELAY", 0)) + drain + CLOSE_S
    if grace < needed:
        yield f"terminationGracePeriodSeconds is {grace}: a drain may take {needed:g}"


def _storage_faults(pod: Pod, server: Manifest, values: dict[str, str]) -> Iterator[str]:
    mounts = {mount["name"]: mount for mount in server["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
    if not mounts["store"].get("readOnly"):
        yield "a server may write the store"
    if mounts["store"]["mountPath"] != values["INTRAMURAL_DATA_DIR"]:
        yield "the store is not where the server looks for it"
    folder = values["INTRAMURAL_API_KEY_FILE"].rpartition("/")[0]
    keys = [name for name, mount in mounts.items() if mount["mountPath"] == folder]
    if not keys or "secret" not in volumes[keys[0]]:
        yield "the key file is in no Secret"
    if volumes.get("shm", {}).get("emptyDir", {}).get("medium") != "Memory":
        yield "/dev/shm is not memory"
    if mounts.get("shm", {}).get("mountPath") != "/dev/shm":
        yield "/dev/shm is the runtime's 64 MB"
    state = values["INTRAMURAL_STATE_DIR"]
    if not any(
        state.startswith(mount["mountPath"]) and not mount.get("readOnly")
        for mount in mounts.values()
    ):
        yield f"{state} cannot be written"


def _gpu_faults(server: Manifest, values: dict[str, str]) -> Iterator[str]:
    num_gpus = int(server["resources"].get("limits", {}).get("nvidia.com/gpu", 0))
    if values.get("INTRAMURAL_DEVICE") != "cuda":
        if num_gpus:
            yield "a GPU is taken and not used"
        return
    wanted = int(values.get("INTRAMURAL_TENSOR_PARALLEL_SIZE", 1))
    if num_gpus != wanted:
        yield f"{num_gpus} GPUs, and tensor-parallel-size is {wanted}"


def _deployment_faults(manifests: list[Manifest]) -> Iterator[str]:
    for each in manifests:
        where = f"{each['kind']}/{each['metadata']['name']}"
        if each["kind"] == "Job":
            yield f"{where}: a Job cannot be changed, so the next apply would fail"
        template = each.get("spec", {}).get("template", {}).get("metadata", {})
        component = template.get("labels", {}).get("app.kubernetes.io/component")
        if each["kind"] == "Deployment" and component == "prefetch":
            if each["spec"].get("strategy") != {"type": "Recreate"}:
                yield f"{where}: two would work on the store at once"
        elif each["kind"] == "Deployment":
            spread = each["spec"]["template"]["spec"].get("topologySpreadConstraints", ())
            if not any(term["topologyKey"] == "kubernetes.io/hostname" for term in spread):
                yield f"{where}: replicas are not spread over nodes"
            rolling = each["spec"].get("strategy", {}).get("rollingUpdate", {})
            if rolling.get("maxUnavailable") != 0:
                yield f"{where}: an update takes replicas away before new ones are ready"


def _selector_faults(manifests: list[Manifest]) -> Iterator[str]:
    """Selectors that take no pod are slips that nothing else would show."""
    for each in manifests:
        where = f"{each['kind']}/{each['metadata']['name']}"
        match each["kind"]:
            case "Service":
                selector = {"matchLabels": each["spec"]["selector"]}
            case "PodDisruptionBudget" | "PodMonitor" | "InferencePool":
                selector = each["spec"]["selector"]
            case _:
                continue
        if not any(selects(selector, pod.labels) for pod in server_pods(manifests)):
            yield f"{where}: it selects no server"
    if not any(each["kind"] == "PodDisruptionBudget" for each in manifests):
        yield "nothing bounds disruptions"


def _prefetch_faults(manifests: list[Manifest]) -> Iterator[str]:
    (prefetch,) = (pod for pod in pods(manifests) if pod.component == "prefetch")
    steps = [" ".join(container["command"]) for container in prefetch.containers]
    if not any("models verify" in step for step in steps):
        yield f"{prefetch.owner}: nothing verifies"
    for pod in server_pods(manifests):
        waits = [each["command"][2:5] for each in pod.spec.get("initContainers", ())]
        for what in ("model", "keys"):
            if ["serve", "wait", what] not in waits:
                yield f"{pod.owner}: it does not wait for the {what}"
    if any("models pull" in step for step in steps) and not any(
        selects(each["spec"]["podSelector"], prefetch.labels) and each["spec"].get("egress")
        for each in manifests
        if each["kind"] == "NetworkPolicy"
    ):
        yield f"{prefetch.owner}: it pulls and reaches nothing"


def _scaling_faults(manifests: list[Manifest]) -> Iterator[str]:
    for each in manifests:
        if each["kind"] not in {"HorizontalPodAutoscaler", "ScaledObject"}:
            continue
        where = f"{each['kind']}/{each['metadata']['name']}"
        target = get(manifests, "Deployment", each["spec"]["scaleTargetRef"]["name"])
        if "replicas" in target["spec"]:
            yield f"{where}: each apply would reset the replicas"
        behaviour = each["spec"].get("behavior") or each["spec"].get("advanced", {}).get(
            "horizontalPodAutoscalerConfig", {}
        ).get("behavior", {})
        window = behaviour.get("scaleDown", {}).get("stabilizationWindowSeconds", 300)
        if window < SLOWEST_SCALE_IN_S:
            yield f"{where}: it scales in after {window} s, and a start takes longer"
