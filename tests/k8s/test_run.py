"""The cpu overlay's containers, run in their order on this machine, as far as that goes.

tests/k8s/local_pod.py says what stands in for a cluster. The commands and settings are the
rendered ones.
"""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from serve.governance.identity import keys
from tests.e2e.server import serving
from tests.k8s.local_pod import Node
from tests.k8s.manifests import get, needs_kubectl, render

pytestmark = needs_kubectl


def test_from_an_empty_store_to_an_answer(tmp_path):
    manifests = render("overlays/cpu")
    prefetch, pod = (
        get(manifests, "Deployment", name)["spec"]["template"]["spec"]
        for name in ("intramural-prefetch", "intramural")
    )
    node = Node(tmp_path)
    node.prepare()
    for step in prefetch["initContainers"]:
        node.run(manifests, step)
    key = keys.create(node.place("/etc/intramural/keys") / "keys.json", name="ward-3")
    for step in pod["initContainers"]:
        node.run(manifests, step)
    values = node.values(manifests, pod["containers"][0])
    store = Path(values["INTRAMURAL_DATA_DIR"]) / "models"
    before = sorted(store.rglob("*"))
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
