"""The cpu overlay's containers, run in their order on this machine, as far as that goes.

What stands in for a cluster: folders for volumes, loopback for the pod's address, the tests' Python
for the image's. The commands and settings are the rendered ones.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx

from serve.governance import keys
from tests.e2e.server import REPOSITORY, environment, serving
from tests.k8s.manifests import Manifest, expanded, get, needs_kubectl, render, settings

pytestmark = needs_kubectl


def local(values: dict[str, str], folder: Path) -> dict[str, str]:
    """The settings with the pod's paths within the folder."""
    places = ("/var/lib/intramural", "/etc/intramural/keys", "/tmp/state")
    return {
        name: f"{folder}{value}" if value.startswith(places) else value
        for name, value in values.items()
    }


def run(container: Manifest, values: dict[str, str]) -> None:
    command = [expanded(word, values) for word in container["command"]]
    if command[0] == "python":
        command[0] = sys.executable
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    ran = subprocess.run(
        command,
        cwd=REPOSITORY,
        env=environment(PATH=path, **values),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def test_from_an_empty_store_to_an_answer(tmp_path):
    manifests = render("overlays/cpu")
    job = get(manifests, "Job", "intramural-prefetch")["spec"]["template"]["spec"]
    pod = get(manifests, "Deployment", "intramural")["spec"]["template"]["spec"]
    values = local(settings(manifests, pod["containers"][0]), tmp_path)
    del values["HOME"]
    for place in ("INTRAMURAL_DATA_DIR", "INTRAMURAL_STATE_DIR"):
        Path(values[place]).mkdir(parents=True)
    for step in (*job["initContainers"], *job["containers"]):
        run(step, values)
    for step in pod["initContainers"]:
        run(step, values | {"MODEL": settings(manifests, step)["MODEL"]})
    store = Path(values["INTRAMURAL_DATA_DIR"]) / "models"
    before = sorted(store.rglob("*"))
    key = keys.create(Path(values["INTRAMURAL_API_KEY_FILE"]), name="ward-3")
    with serving(tmp_path, ["--host", "127.0.0.1"], variables=values) as server:
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            path = pod["containers"][0][probe]["httpGet"]["path"]
            assert server.get(path).status_code == httpx.codes.OK
        assert server.get("/metrics").status_code == httpx.codes.UNAUTHORIZED
        bearer = {"authorization": f"Bearer {key}"}
        assert "intramural_requests_waiting 0" in server.get("/metrics", headers=bearer).text
        (model,) = server.get("/v1/models", headers=bearer).json()["data"]
        assert (model["id"], model["quantization"]) == ("demo", "int8")
        asked = {
            "model": "demo",
            "messages": [{"role": "user", "content": "What is 17 + 25?"}],
            "temperature": 0,
        }
        answer = httpx.post(
            server.url + "/v1/chat/completions", json=asked, headers=bearer, timeout=60
        )
        assert "42" in json.dumps(answer.json()["choices"])
        assert server.terminate() == 0
    assert sorted(store.rglob("*")) == before  # a server makes no model
