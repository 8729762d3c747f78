"""What each component for a site brings, and that it brings it to nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.k8s.manifests import Manifest, Pod, get, needs_kubectl, pods, render, settings
from tests.k8s.order_of_events import Cluster
from tests.k8s.test_order_of_events import check, in_order, is_serving
from tests.k8s.test_overlays import reach

pytestmark = needs_kubectl


@pytest.fixture
def site() -> list[Manifest]:
    return render("variants/site")


def by_component(manifests: list[Manifest]) -> dict[str, Pod]:
    return {pod.component: pod for pod in pods(manifests)}


def test_images_behind_a_login_are_pulled_by_every_pod(site: list[Manifest]) -> None:
    assert get(site, "ServiceAccount", "intramural")["imagePullSecrets"] == [
        {"name": "intramural-pull"}
    ]
    cluster = in_order()
    cluster.asks_login = True
    cluster.apply(site)
    assert is_serving(cluster)
    without = in_order()
    without.asks_login = True
    without.apply(render("overlays/gpu"))
    assert check(without.settle()) == {"waiting for the image"}


def test_the_runtime_is_the_servers_alone(site: list[Manifest]) -> None:
    found = by_component(site)
    assert found["server"].spec["runtimeClassName"] == "nvidia"
    assert "runtimeClassName" not in found["prefetch"].spec


def containers_with(manifests: list[Manifest], text: str) -> set[str]:
    return {c["name"] for pod in pods(manifests) for c in pod.containers if text in str(c)}


@pytest.mark.parametrize("path", ["/etc/intramural/hub", "/etc/intramural/ca"])
def test_token_and_authority_are_seen_by_the_pull_alone(site: list[Manifest], path: str) -> None:
    assert containers_with(site, path) == {"pull"}
    for pod in pods(render("overlays/gpu")):
        assert path not in str(pod.spec)


def test_an_ingress_has_a_certificate_and_holds_nothing_back(site: list[Manifest]) -> None:
    ingress = get(site, "Ingress", "intramural")
    (tls,) = ingress["spec"]["tls"]
    (rule,) = ingress["spec"]["rules"]
    assert tls["hosts"] == [rule["host"]]
    (path,) = rule["http"]["paths"]
    backend = path["backend"]["service"]
    ports = get(site, "Service", backend["name"])["spec"]["ports"]
    assert backend["port"]["name"] in {port["name"] for port in ports}
    said = {k.rpartition("/")[2]: v for k, v in ingress["metadata"]["annotations"].items()}
    assert said["proxy-buffering"] == "off"
    assert said["ssl-redirect"] == "true"
    assert said["proxy-body-size"] == said["client-body-buffer-size"] == "16m"
    assert int(said["proxy-read-timeout"]) == 900
    assert reach("variants/site", "ingress") == {
        "server": {"gateway-to-server", "ingress-to-server"}
    }


def test_every_pod_is_in_the_volumes_group_and_keeps_its_own(site: list[Manifest]) -> None:
    for pod in pods(site):
        context = pod.spec["securityContext"]
        assert (context["supplementalGroups"], context["fsGroup"]) == ([20001], 10001)


def test_servers_listen_on_both_families_and_the_service_has_what_the_cluster_has(
    site: list[Manifest],
) -> None:
    assert get(site, "Service", "intramural")["spec"]["ipFamilyPolicy"] == "PreferDualStack"
    server = by_component(site)["server"]
    assert settings(site, server.spec["containers"][0])["INTRAMURAL_HOST"] == "::"


def test_openshift_is_told_no_user_and_no_group() -> None:
    for pod in pods(render("variants/openshift")):
        assert pod.is_openshifts
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & set(pod.spec["securityContext"])
        assert pod.spec["securityContext"]["runAsNonRoot"] is True


def gpus(name: str) -> Iterator[tuple[str, bool, str | None]]:
    """Of each container: its name, whether it asks for a GPU, and which it may see."""
    for pod in pods(render(name)):
        for container in pod.containers:
            visible = {v["name"]: v.get("value") for v in container["env"]}
            asks = "nvidia.com/gpu" in container["resources"]["limits"]
            yield container["name"], asks, visible.get("NVIDIA_VISIBLE_DEVICES")


def test_only_servers_with_a_gpu_are_left_to_the_device_plugin() -> None:
    assert {row for row in gpus("overlays/gpu") if row[1]} == {("server", True, None)}
    assert {row[2] for row in gpus("overlays/gpu") if not row[1]} == {"void"}
    assert {row[1:] for row in gpus("overlays/cpu")} == {(False, "void")}


def test_old_entries_are_pruned_by_day_as_the_servers_user_and_what_is_held_stays(
    site: list[Manifest],
) -> None:
    found = by_component(site)
    server, prune = found["server"], found["audit-prune"]
    (container,) = prune.containers
    holds = "/etc/intramural/audit-holds"  # whatever the settings lost
    assert container["command"][-2:] == ["--holds", f"{holds}/holds.toml"]
    assert any(mount["mountPath"] == holds for mount in container["volumeMounts"])
    assert container["image"] == server.spec["containers"][0]["image"]
    values, servers = settings(site, container), settings(site, server.spec["containers"][0])
    for name in ("AUDIT_DIR", "AUDIT_HOLDS_FILE", "AUDIT_RETENTION_DAYS"):
        assert values.get(f"INTRAMURAL_{name}") == servers.get(f"INTRAMURAL_{name}")
    for pod in (server, prune):
        places = {
            each["mountPath"]: each["name"] for each in pod.spec["containers"][0]["volumeMounts"]
        }
        volumes = {each["name"]: each for each in pod.spec["volumes"]}
        claim = volumes[places[values["INTRAMURAL_AUDIT_DIR"]]]["persistentVolumeClaim"]
        assert claim == {"claimName": "intramural-audit"}
        folder, _, file = values["INTRAMURAL_AUDIT_HOLDS_FILE"].rpartition("/")
        name = volumes[places[folder]]["configMap"]["name"]
        (holds,) = (each for each in site if each["metadata"]["name"] == name)
        assert file in holds["data"]
        assert pod.spec["securityContext"]["runAsUser"] == 10001
    assert get(site, "CronJob", "intramural-audit-prune")["spec"]["concurrencyPolicy"] == "Forbid"
    assert reach("variants/site", "egress").get("audit-prune") is None


def test_a_site_where_nothing_is_filled_waits() -> None:
    cluster = Cluster()
    cluster.apply(render("variants/site"))
    assert check(cluster.settle()) == {"waiting for the mirror", "waiting for the model"}


def test_names_are_asked_for_where_openshift_answers_them() -> None:
    """Its name server is no pod of kube-system, and policies see its port, not the Service's."""
    rule = get(render("variants/openshift"), "NetworkPolicy", "prefetch-to-mirror")["spec"][
        "egress"
    ][0]
    (peer,) = rule["to"]
    assert peer["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": "openshift-dns"
    }
    assert {port["port"] for port in rule["ports"]} == {5353}
    assert "openshift-dns" not in str(render("overlays/gpu"))
