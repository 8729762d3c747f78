"""Every overlay and variant, from the first apply to an answer, and with what may be missing.

Each breach ends in a state that docs/operations.md names, never in a crash loop; and what the page
says to do about it ends in serving. The model is tests/k8s/order_of_events.py.
"""

from __future__ import annotations

import copy
import re
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.k8s.manifests import (
    K8S,
    RENDERED,
    ROOT,
    Manifest,
    get,
    needs_kubectl,
    pods,
    render,
    settings,
)
from tests.k8s.order_of_events import LOOP, Cluster, State, loops

pytestmark = needs_kubectl

NEW_MODEL = "qwen2.5-0.5b"
MODEL = re.compile(r"INTRAMURAL_MODEL=[a-z0-9.-]+")
DIGEST = "sha256:" + "1" * 64
FOR_EACH_RUN = ("overlays/cpu", "overlays/airgapped", "variants/canary")
"""One of each kind: nothing is fetched, imported, pulled for two arms."""
FILLED = {
    "intramural-keys": {"keys.json"},
    "intramural-trusted-keys": {"signer.pub"},
    "intramural-mirror-ca": {"ca.pem"},
    "intramural-hub-token": {"token"},
    "intramural-stores": {"database-url", "cache-url"},
    "intramural-audit": {"content.key"},
    "intramural-pull": {".dockerconfigjson"},
}
MADE = {"intramural-server-tls": {"tls.crt", "tls.key", "ca.crt"}}
"""Secrets that no manifest has, since they cannot be empty."""


def documented() -> dict[str, str]:
    """The states of docs/operations.md, each with the beginning of its status."""
    page = (ROOT / "docs/operations.md").read_text("utf-8")
    rows = re.findall(r"^\| \*\*([a-z ]+)\*\* \| `([^`]+)`", page, re.MULTILINE)
    return {name: status.rstrip("…") for name, status in rows}


def in_order() -> Cluster:
    """A cluster in which nothing is missing, before anything is applied."""
    return Cluster(
        data={name: set(files) for name, files in (FILLED | MADE).items()},
        mirror={"qwen2.5-7b", NEW_MODEL},
        media={"qwen2.5-7b"},
    )


def servers(states: dict[str, State]) -> dict[str, State]:
    return {owner: state for owner, state in states.items() if "prefetch" not in owner}


def check(states: dict[str, State]) -> set[str]:
    """The states' names; each is documented, with the status that it has."""
    known = documented()
    assert list(loops(states)) == []
    for owner, state in states.items():
        assert state.name in known, f"{owner}: {state} is not in docs/operations.md"
        assert state.status.startswith(known[state.name]), f"{owner}: {state}"
    return {state.name for state in states.values()}


def is_serving(cluster: Cluster) -> bool:
    states = cluster.settle()
    return check(states) == {"serving", "filled"}


@cache
def _changed(name: str) -> list[Manifest]:
    with TemporaryDirectory() as folder:
        tree = Path(shutil.copytree(K8S, Path(folder) / "k8s"))
        for file in (*tree.rglob("kustomization.yaml"), tree / "base/server/settings.env"):
            text = file.read_text("utf-8").replace("sha256:" + "0" * 64, DIGEST)
            file.write_text(MODEL.sub(f"INTRAMURAL_MODEL={NEW_MODEL}", text), "utf-8")
        return render(str(tree / name))


def changed(name: str) -> list[Manifest]:
    """The same with another model and another image."""
    return copy.deepcopy(_changed(name))


def component(manifests: list[Manifest], step: str) -> bool:
    return any(c["name"] == step for pod in pods(manifests) for c in pod.containers)


Change = Callable[[Cluster], None]


def login(cluster: Cluster) -> None:
    """The component pull-secret, and the Secret that it names."""
    account = cluster.objects["ServiceAccount", "intramural"]
    account["imagePullSecrets"] = [{"name": "intramural-pull"}]
    cluster.data["intramural-pull"] = {".dockerconfigjson"}


def without_login(cluster: Cluster) -> None:
    cluster.asks_login = True
    del cluster.data["intramural-pull"]


def failing(cluster: Cluster) -> None:
    """The first step fails, whichever an overlay has first."""
    cluster.faults = dict.fromkeys(("pull", "import", "verify"), "the next try")


def emptied(name: str) -> Change:
    return lambda cluster: cluster.data.update({name: set()})


def filled(name: str) -> Change:
    return lambda cluster: cluster.data.update({name: FILLED[name]})


BREACHES: dict[str, tuple[str | None, Change, str, str, Change]] = {
    # what is missing: the step it is for, the breach, states of prefetch and servers, the remedy
    "no key": (None, emptied("intramural-keys"), "filled", "waiting for a key",
               filled("intramural-keys")),
    "no model on the mirror": (
        "pull", lambda c: c.mirror.clear(), "waiting for the mirror", "waiting for the model",
        lambda c: c.mirror.add("qwen2.5-7b")),
    "no token for the mirror": (
        "hub-token", emptied("intramural-hub-token"), "waiting for the mirror",
        "waiting for the model", filled("intramural-hub-token")),
    "no authority of the mirror": (
        "mirror-ca", emptied("intramural-mirror-ca"), "waiting for the mirror",
        "waiting for the model", filled("intramural-mirror-ca")),
    "empty media": (
        "import", lambda c: c.media.clear(), "waiting for media", "waiting for the model",
        lambda c: c.media.add("qwen2.5-7b")),
    "no trusted key": (
        "import", emptied("intramural-trusted-keys"), "waiting for a trusted key",
        "waiting for the model", filled("intramural-trusted-keys")),
    "a step of the prefetch that fails": (
        None, failing, "waiting for the next try", "waiting for the model",
        lambda c: c.faults.clear()),
    "no pull secret": (
        None, without_login, "waiting for the image", "waiting for the image", login),
    "no certificate": (
        "intramural-server-tls", lambda c: c.data.pop("intramural-server-tls"), "filled",
        "waiting for a certificate", lambda c: c.data.update(MADE)),
    "no volume": (
        None, lambda c: setattr(c, "has_volumes", False), "waiting for a node or a volume",
        "waiting for a node or a volume", lambda c: setattr(c, "has_volumes", True)),
}  # fmt: skip


def concerns(name: str, step: str | None) -> bool:
    """Whether the overlay has what a breach is about."""
    return step is None or step in str(render(name))


@pytest.mark.parametrize("name", RENDERED)
def test_it_comes_to_serve(name: str) -> None:
    cluster = in_order()
    assert cluster.apply(render(name)) == []
    assert is_serving(cluster)
    assert cluster.apply(render(name)) == []


@pytest.mark.parametrize("breach", BREACHES)
@pytest.mark.parametrize("name", RENDERED)
def test_what_is_missing_is_waited_for(name: str, breach: str) -> None:
    step, break_it, of_prefetch, of_servers, mend = BREACHES[breach]
    if not concerns(name, step):
        return
    cluster = in_order()
    cluster.mirror_asks_token = "token" in breach
    break_it(cluster)
    assert cluster.apply(render(name)) == []
    states = cluster.settle()
    check(states)
    assert states["Deployment/intramural-prefetch"].name == of_prefetch
    assert {state.name for state in servers(states).values()} == {of_servers}
    mend(cluster)
    assert is_serving(cluster)


@pytest.mark.parametrize("name", RENDERED)
def test_a_changed_setting_is_applied_and_the_former_serves_meanwhile(
    name: str, is_proving: bool
) -> None:
    if name not in FOR_EACH_RUN and not is_proving:
        pytest.skip("another rendering of each takes seconds: `make prove`")
    cluster = in_order()
    cluster.mirror.discard(NEW_MODEL)
    former = render(name)
    cluster.apply(former)
    assert is_serving(cluster)
    served = dict(cluster.serving)
    assert cluster.apply(changed(name)) == []
    states = cluster.settle()
    assert "waiting for the model" in check(states)
    assert cluster.serving == served
    cluster.mirror.add(NEW_MODEL)
    cluster.media.add(NEW_MODEL)
    if component(former, "pull") or component(former, "import"):
        assert is_serving(cluster)
        assert cluster.serving["Deployment/intramural"].startswith(NEW_MODEL)
    assert cluster.apply(former) == []  # and back
    assert is_serving(cluster)
    assert cluster.serving == served


def test_what_changed_is_what_was_meant(is_proving: bool) -> None:
    for name in RENDERED if is_proving else FOR_EACH_RUN:
        for owner in ("intramural", "intramural-prefetch"):
            before, after = (
                get(manifests, "Deployment", owner)["spec"]["template"]["spec"]["containers"][0]
                for manifests in (render(name), changed(name))
            )
            assert DIGEST not in before["image"]
            assert DIGEST in after["image"]
            assert settings(changed(name), after)["INTRAMURAL_MODEL"] == NEW_MODEL


def server(manifests: list[Manifest]) -> Manifest:
    return get(manifests, "Deployment", "intramural")["spec"]["template"]["spec"]


def prefetch(manifests: list[Manifest]) -> Manifest:
    return get(manifests, "Deployment", "intramural-prefetch")["spec"]["template"]["spec"]


def as_it_was(manifests: list[Manifest]) -> None:
    """A Job, and no wait for keys."""
    get(manifests, "Deployment", "intramural-prefetch")["kind"] = "Job"
    server(manifests)["initContainers"].pop(1)


FAULTS: dict[str, tuple[Change, Callable[[list[Manifest]], object]]] = {
    "a server that does not wait for keys": (
        emptied("intramural-keys"),
        lambda m: server(m)["initContainers"].pop(1),
    ),
    "a server that does not wait for the model": (
        lambda c: c.mirror.clear(),
        lambda m: server(m)["initContainers"].pop(0),
    ),
    "a server that waits without seeing the store": (
        lambda c: c.mirror.clear(),
        lambda m: server(m)["initContainers"][0].update(
            command=["python", "-m", "models", "verify", "demo"]
        ),
    ),
    "a pull that is tried once": (
        lambda c: c.mirror.clear(),
        lambda m: prefetch(m)["initContainers"][0].update(
            command=["python", "-m", "models", "pull", "$INTRAMURAL_MODEL"]
        ),
    ),
    "a quantisation that is tried once": (
        lambda c: c.faults.update(quantize="memory"),
        lambda m: prefetch(m)["initContainers"][2].update(
            command=["sh", "-c", 'python -m quantize "$INTRAMURAL_MODEL" --scheme int4']
        ),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_model_sees_a_crash_loop(fault: str) -> None:
    break_it, mutate = FAULTS[fault]
    manifests, cluster = render("overlays/gpu"), in_order()
    break_it(cluster)
    mutate(manifests)
    cluster.apply(manifests)
    assert LOOP in {state.name for state in cluster.settle().values()}


def test_the_model_sees_a_job_that_cannot_be_changed() -> None:
    cluster = in_order()
    former, latter = render("overlays/gpu"), changed("overlays/gpu")
    for manifests in (former, latter):
        as_it_was(manifests)
    assert cluster.apply(former) == []
    assert cluster.apply(latter) == ["Job/intramural-prefetch: spec.template is immutable"]
    assert get(former, "Job", "intramural-prefetch")


def test_the_model_sees_a_server_that_may_write_nothing_and_a_prefetch_that_may_not() -> None:
    manifests, cluster = render("overlays/gpu"), in_order()
    prefetch(manifests)["volumes"][0]["persistentVolumeClaim"]["readOnly"] = True
    cluster.apply(manifests)
    assert cluster.settle()["Deployment/intramural-prefetch"].name not in documented()


def test_the_model_refuses_a_command_that_it_does_not_know() -> None:
    manifests, cluster = render("overlays/gpu"), in_order()
    prefetch(manifests)["initContainers"][0]["command"] = ["python", "-m", "models", "fetch", "x"]
    cluster.apply(manifests)
    with pytest.raises(ValueError, match="fetch"):
        cluster.settle()


def states_used() -> Iterator[str]:
    for _, _, of_prefetch, of_servers, _ in BREACHES.values():
        yield from (of_prefetch, of_servers)


def test_every_documented_state_is_one_that_occurs() -> None:
    assert documented().keys() == {*states_used(), "serving"}
