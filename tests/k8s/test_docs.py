"""docs/kubernetes.md says what is there, and its commands are commands."""

from __future__ import annotations

import re
import shlex

from serve.cli.keys import _parser
from tests.k8s.manifests import K8S, RENDERED, ROOT, get, needs_kubectl, render
from tests.k8s.rules import faults

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
    file = _parser().parse_args(words[4:]).file
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
    job = get(manifests, "Job", "intramural-prefetch")["spec"]["template"]["spec"]
    assert [step["name"] for step in job["initContainers"]] == ["pull", "verify"]


@needs_kubectl
def test_every_secret_that_is_patched_exists():
    names = {
        each["metadata"]["name"]
        for name in RENDERED
        for each in render(name)
        if each["kind"] == "Secret"
    }
    assert set(re.findall(r"patch secret (\S+)", PAGE)) == names


@needs_kubectl
def test_every_overlay_and_every_policy_is_explained():
    for name in RENDERED:
        assert f"| `{name}` |" in PAGE
        for each in render(name):
            if each["kind"] == "NetworkPolicy":
                assert f"`{each['metadata']['name']}`" in PAGE
