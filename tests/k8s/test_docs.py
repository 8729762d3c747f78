"""docs/kubernetes.md says what is there, and its commands are commands."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess

from serve.cli.key_flags import parser
from tests.k8s.manifests import K8S, RENDERED, ROOT, get, needs_kubectl, render
from tests.k8s.rules import faults
from tests.k8s.test_order_of_events import FILLED

PAGE = (ROOT / "docs/kubernetes.md").read_text("utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


def lines(block: str) -> list[str]:
    return block.replace("\\\n", " ").strip().splitlines()


@needs_kubectl
def test_five_commands_lead_from_an_empty_cluster_to_a_served_model():
    image, apply, create, patch, wait = lines(BLOCKS[0])
    overlay = shlex.split(apply)[-1]
    manifests = render(overlay.removeprefix("k8s/"))
    assert image.startswith(f"(cd {overlay} && kustomize edit set image intramural=")
    assert apply == f"kubectl apply -k {overlay}"
    words = shlex.split(create)
    assert words[:4] == ["python", "-m", "serve", "keys"]
    file = parser(None).parse_args(words[4:]).file
    assert get(manifests, "Secret", re.findall(r"patch secret (\S+)", patch)[0])
    assert f"base64 -w0 {file}" in patch
    assert get(manifests, "Deployment", wait.rpartition("deployment/")[2])
    for command in (patch, wait):
        assert "-n intramural " in command


@needs_kubectl
def test_a_folder_of_ones_own_is_in_order(tmp_path):
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    above = "../" * len(tmp_path.resolve().parts) + K8S.as_posix()[1:]
    (tmp_path / "kustomization.yaml").write_text(text.replace("[../", f"[{above}/"))
    manifests = render(str(tmp_path))
    assert faults(manifests) == []
    prefetch = get(manifests, "Deployment", "intramural-prefetch")["spec"]["template"]["spec"]
    names = [step["name"] for step in prefetch["initContainers"]]
    assert names == ["pull", "verify", "quantise"]


@needs_kubectl
def test_all_that_is_filled_by_hand_exists_and_all_that_is_empty_is_told_how_to_be_filled():
    """A page and the comment in the manifest itself; what cannot be empty is made by `create`."""
    rendered = [each for name in RENDERED for each in render(name)]
    texts = [path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md")]
    texts += [path.read_text("utf-8") for path in K8S.rglob("*.yaml")]
    told = re.findall(r"patch (secret|configmap) (\S+)", "\n".join(texts))
    empty = {
        (each["kind"].lower(), each["metadata"]["name"])
        for each in rendered
        if each["kind"] in {"Secret", "ConfigMap"} and "data" not in each
    }
    assert set(told) == empty
    made = re.findall(r"create secret (?:tls|docker-registry) (\S+)", PAGE)
    used = [
        *(name["name"] for each in rendered for name in each.get("imagePullSecrets", ())),
        *(t["secretName"] for e in rendered if e["kind"] == "Ingress" for t in e["spec"]["tls"]),
    ]
    assert set(made) == set(used)


PATCH = re.compile(
    r"kubectl -n intramural patch (secret|configmap) (\S+)\s(?:\\\n)?\s*(-p \"(?:\\.|[^\"\\])*\")"
)


def patches() -> set[tuple[str, str, str]]:
    """Kind, name and patch of each such command, of the pages and of the manifests' comments."""
    texts = [path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md")]
    manifests = (path.read_text("utf-8") for path in K8S.rglob("*.yaml"))
    comments = (re.sub(r"^#", "", text, flags=re.MULTILINE) for text in manifests)
    return {found for text in (*texts, *comments) for found in PATCH.findall(text)}


@needs_kubectl
def test_patches_put_in_what_is_mounted_and_looked_for(tmp_path):
    """Run by the shell that they are written for, on an object here."""
    for name in (
        "keys.json",
        "signer.pub",
        "ca.pem",
        "database-url",
        "cache-url",
        "content.key",
    ):
        (tmp_path / name).write_text(f"what is in {name}")
    filled: dict[str, set[str]] = {}
    for kind, name, patch in patches():
        empty = {"apiVersion": "v1", "kind": {"secret": "Secret"}.get(kind, "ConfigMap")}
        (tmp_path / "object.json").write_text(json.dumps(empty | {"metadata": {"name": name}}))
        ran = subprocess.run(
            ["sh", "-euc", f"kubectl patch --local -f object.json -o json {patch}"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "KEY": "sk-x", "HF_TOKEN": "hf_x"},
            capture_output=True,
            text=True,
            check=True,
        )
        document = json.loads(ran.stdout)
        for field in ("data", "binaryData", "stringData"):
            filled.setdefault(name, set()).update(document.get(field, {}))
    assert filled.pop("intramural-metrics-key") == {"token"}
    assert filled == {name: files for name, files in FILLED.items() if name != "intramural-pull"}


@needs_kubectl
def test_every_component_for_a_site_is_explained():
    text = (K8S / "variants/site/kustomization.yaml").read_text("utf-8")
    for name in (*re.findall(r"components/(\S+)", text), "openshift"):
        assert f"| `{name}` |" in PAGE


@needs_kubectl
def test_every_overlay_and_every_policy_is_explained():
    for name in RENDERED:
        assert f"| `{name}` |" in PAGE
        for each in render(name):
            if each["kind"] == "NetworkPolicy":
                assert f"`{each['metadata']['name']}`" in PAGE
