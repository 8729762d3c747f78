"""From a hub to an answer: an alias is pulled, then served without any hub."""

from __future__ import annotations

import subprocess
import sys

import httpx

from tests.e2e.server import REPOSITORY, environment, serving
from tests.hub.emulator import Hub
from tests.tiny_models import write_tiny_model


def test_an_alias_is_pulled_and_then_served_without_a_connection(tmp_path):
    folder = write_tiny_model(tmp_path / "tiny")
    data_dir = str(tmp_path / "data")
    with Hub() as hub:
        hub.add("Qwen/Qwen2-7B-Instruct", folder)
        pulled = subprocess.run(
            [sys.executable, "-m", "models", "pull", "qwen2-7b", "--data-dir", data_dir],
            cwd=REPOSITORY,
            env=environment(HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0", NO_PROXY="*"),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert pulled.returncode == 0, pulled.stderr
    arguments = ["--model", "qwen2-7b", "--data-dir", data_dir, "--engine", "transformers"]
    with serving(tmp_path, arguments) as server:
        body = {"model": "qwen2-7b", "prompt": "def prefill(", "max_tokens": 3}
        answer = server.get("/v1/models").json()
        assert [row["id"] for row in answer["data"]] == ["qwen2-7b"]
        text = httpx.post(server.url + "/v1/completions", json=body, timeout=60)
        assert text.status_code == 200
        assert text.json()["usage"]["completion_tokens"] == 3
