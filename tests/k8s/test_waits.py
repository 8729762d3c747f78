"""What each step and each wait does while something is missing, and when it comes: the commands of
the rendered manifests, run here. tests/k8s/order_of_events.py builds on what these tests see.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from models.store import DEMO_WEIGHTS
from serve.governance.identity import keys
from tests.docs.blocks import blocks
from tests.e2e.server import REPOSITORY, environment, free_port
from tests.hub.emulator import Hub
from tests.k8s.kubelet import mount
from tests.k8s.local_pod import Node, User
from tests.k8s.manifests import ROOT, Manifest, get, needs_kubectl, render
from tests.models.hub.test_fetch import server_context
from tests.programs import needs

pytestmark = needs_kubectl

MODEL = "qwen2.5-7b"
REPO = "Qwen/Qwen2.5-7B-Instruct"
NOBODY = 1000650000
"""A user as OpenShift gives them: in no passwd file, of the group root."""


@pytest.fixture
def takes_its_time(is_proving: bool) -> None:
    if not is_proving:
        pytest.skip("several commands of seconds each: `make prove`")


@pytest.fixture
def node(tmp_path: Path) -> Node:
    node = Node(tmp_path)
    node.prepare()
    return node


def steps(name: str, owner: str = "intramural-prefetch") -> dict[str, Manifest]:
    """The containers of a pod by name."""
    pod = get(render(name), "Deployment", owner)["spec"]["template"]["spec"]
    return {each["name"]: each for each in (*pod["initContainers"], *pod["containers"])}


def put_model(node: Node, name: str = MODEL) -> None:
    """The demo model's files under another name, as a pull leaves them."""
    command(node, "models", "pull", "acme/x", "--from", str(DEMO_WEIGHTS), "--name", name)


def command(node: Node, module: str, *words: str) -> None:
    subprocess.run(
        [node.folder / "bin/python", "-m", module, *words],
        cwd=REPOSITORY,
        env=environment(INTRAMURAL_DATA_DIR=str(node.place("/var/lib/intramural"))),
        check=True,
        capture_output=True,
    )


def test_servers_wait_for_the_model_and_then_for_a_key(node: Node, tmp_path: Path) -> None:
    """Both at once here: in a pod one after the other."""
    manifests, found = render("variants/full-weights"), steps("variants/full-weights", "intramural")
    volume = node.place("/etc/intramural/keys")
    mount(volume, {})  # as an empty Secret is
    with (
        node.running(manifests, found["wait-for-model"]) as for_model,
        node.running(manifests, found["wait-for-keys"]) as for_keys,
    ):
        for_model.says(
            f"waiting for the model: {MODEL} is not in the store.\nThe prefetch makes it"
        )
        for_keys.says("keys.json is not there")
        put_model(node)
        made = tmp_path / "made.json"
        keys.create(made)
        mount(volume, {"keys.json": made.read_bytes()})
        (volume / "keys.json").resolve().chmod(0o400)  # whose it is here, no group may read
        for_model.ends()
        for_keys.ends()


@pytest.mark.parametrize("name", ["wait-for-model", "wait-for-keys"])
def test_a_wait_ends_at_once_when_its_pod_does(node: Node, name: str) -> None:
    container = steps("overlays/gpu", "intramural")[name]
    with node.running(render("overlays/gpu"), container) as running:
        running.says("waiting for")
        running.process.terminate()
        assert running.process.wait(30) == 128 + signal.SIGTERM


@pytest.mark.usefixtures("takes_its_time")
def test_media_are_waited_for_and_filled_as_the_page_says(node: Node, tmp_path: Path) -> None:
    manifests, found = render("overlays/airgapped"), steps("overlays/airgapped")
    media, trusted = node.place("/media"), node.place("/etc/intramural/trusted-keys")
    usb = tmp_path / "usb"
    command(node, "models", "keygen", str(tmp_path / "signer.pem"))
    words = ("--name", MODEL, "--split", "5MB", "--sign", str(tmp_path / "signer.pem"))
    command(node, "models", "bundle", "demo", "--out", str(usb), *words)
    mount(trusted, {})
    with node.running(manifests, found["import"]) as running:
        running.says(f"{MODEL}.bundle.json is neither a folder nor a file that is there")
        assert list(media.iterdir()) == []
        fill(node, usb)
        names = [sorted(path.name for path in folder.iterdir()) for folder in (media, usb)]
        assert names[0] == names[1]
        running.says("there is no trusted key in")
        mount(trusted, {"signer.pub": (tmp_path / "signer.pub").read_bytes()})
        running.ends()
    assert node.num_tries >= 2
    node.run(manifests, found["verify"])
    for file in media.iterdir():  # taken away: what is in the store needs no media
        file.unlink()
    node.run(manifests, found["import"])


def fill(node: Node, usb: Path) -> None:
    """What docs/kubernetes.md says to do, with a kubectl that runs its command in this node."""
    page = (ROOT / "docs/kubernetes.md").read_text("utf-8")
    (block,) = (each for each in blocks(page) if "cat > /media" in each.text)
    here = node.place("/media")
    script = (
        'shift 7; [ "$1" = -- ] || exit 9; shift; '
        f'exec sh -c "$(echo "$3" | sed "s:/media:{here}:")"'
    )
    (node.folder / "bin/kubectl").write_text(f"#!/bin/sh\n{script}\n")
    (node.folder / "bin/kubectl").chmod(0o755)
    subprocess.run(
        ["sh", "-euc", block.text.partition("cd &&")[0].replace("/media/usb", str(usb))],
        env={"PATH": f"{node.folder}/bin:/usr/bin:/bin"},
        check=True,
    )


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Hub]:
    """With TLS of an authority that nobody knows, and a model that asks for a token."""
    with Hub(tls=server_context(tmp_path)) as hub:
        hub.add(REPO, DEMO_WEIGHTS, gated=True)
        yield hub


@pytest.mark.usefixtures("takes_its_time")
def test_a_pull_waits_for_the_authority_and_the_token_of_its_mirror(
    node: Node, mirror: Hub, tmp_path: Path
) -> None:
    manifests, pull = render("variants/site"), steps("variants/site")["pull"]
    authority, token = node.place("/etc/intramural/ca"), node.place("/etc/intramural/hub")
    for volume in (authority, token):
        mount(volume, {})
    with node.running(manifests, pull, {"HF_ENDPOINT": mirror.url}) as running:
        running.says("ca.pem, which cannot be read")
        assert mirror.seen == []
        mount(authority, {"ca.pem": (tmp_path / "certificate.pem").read_bytes()}, mode=0o644)
        running.says("gated")
        mount(token, {"token": f"{mirror.token}\n".encode()})
        running.ends()
    with node.running(manifests, steps("variants/site")["verify"]) as running:
        running.ends()


@pytest.mark.usefixtures("takes_its_time")
def test_a_step_that_fails_is_tried_again_and_goes_on(node: Node) -> None:
    manifests, found = render("overlays/cpu"), steps("overlays/cpu")
    values = {"INTRAMURAL_MODEL": MODEL}
    with node.running(manifests, found["verify"], values) as running:
        running.says("is not on this machine")
        running.says("is not on this machine")
        put_model(node)
        running.ends()
    store = node.place("/var/lib/intramural") / "models"
    (store / f"{MODEL}--int8").write_text("in the way")
    with node.running(manifests, found["quantise"], values) as running:
        running.says("error")
        (store / f"{MODEL}--int8").unlink()
        (store / MODEL).rename(store / "aside")
        running.says("is not on this machine")
        values["INTRAMURAL_QUANT"] = "none"
    (store / "aside").rename(store / MODEL)
    node.run(manifests, found["quantise"], **values)
    assert node.num_tries >= 2


def test_what_is_filled_says_so_and_ends_at_once_when_its_pod_does(node: Node) -> None:
    container = steps("overlays/cpu")["done"]
    with node.running(render("overlays/cpu"), container) as running:
        running.says("the store has demo, verified, as int8")
        running.process.terminate()
        assert running.process.wait(30) in (0, 128 + signal.SIGTERM)


@pytest.mark.usefixtures("takes_its_time")
@needs("setpriv")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_store_that_is_not_ones_own_is_waited_for() -> None:
    """Such as one of NFS, where fsGroup changes nothing, and before the group is named."""
    with tempfile.TemporaryDirectory() as folder:
        node = node_for_all(Path(folder))
        manifests, container = render("variants/site"), steps("variants/site")["quantise"]
        store = node.place("/var/lib/intramural")
        os.chown(store, 0, 20001)
        store.chmod(0o2770)
        values = {"INTRAMURAL_MODEL": "demo", "HOME": folder}
        with node.running(manifests, container, values, User(10001, 10001)) as running:
            running.says("Permission denied")
            running.says("Permission denied")
        (group,) = get(manifests, "Deployment", "intramural-prefetch")["spec"]["template"]["spec"][
            "securityContext"
        ]["supplementalGroups"]
        with node.running(manifests, container, values, User(10001, 10001, (group,))) as running:
            running.says("made demo--int4")
        assert stat.S_IMODE((store / "models").stat().st_mode) & 0o2000


@pytest.mark.usefixtures("takes_its_time")
@needs("setpriv")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_server_runs_as_a_user_that_no_file_knows_on_both_families() -> None:
    """OpenShift's user with the group root, and `::` as in the component dual-stack."""
    with tempfile.TemporaryDirectory() as folder:
        node = node_for_all(Path(folder))
        manifests = render("variants/openshift")
        containers = steps("variants/openshift", "intramural")
        made = Path(folder) / "made.json"
        key = keys.create(made)
        mount(node.place("/etc/intramural/keys"), {"keys.json": made.read_bytes()}, group=NOBODY)
        node.place("/tmp/state").chmod(0o777)
        port = free_port()
        values = {"INTRAMURAL_MODEL": "demo", "INTRAMURAL_QUANT": "none", "HOME": folder}
        values |= {"INTRAMURAL_ENGINE": "transformers", "INTRAMURAL_DEVICE": "cpu"}
        values |= {"INTRAMURAL_PORT": str(port), "INTRAMURAL_HOST": "::", "OMP_NUM_THREADS": "1"}
        user = User(NOBODY, 0, (NOBODY,))
        for name in ("wait-for-model", "wait-for-keys"):
            with node.running(manifests, containers[name], values, user) as running:
                running.ends()
        with node.running(manifests, containers["server"], values, user) as running:
            running.says("curl")
            for address in ("127.0.0.1", "[::1]"):
                answer = httpx.get(
                    f"http://{address}:{port}/v1/models",
                    headers={"authorization": f"Bearer {key}"},
                )
                assert answer.json()["data"][0]["id"] == "demo"
            running.process.terminate()
            assert running.process.wait(60) == 0


def node_for_all(folder: Path) -> Node:
    """Whose folders other users may enter."""
    folder.chmod(0o777)
    node = Node(folder)
    node.prepare()
    return node
