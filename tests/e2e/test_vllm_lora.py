"""`python -m serve --lora`: from the command line to two adapters, and through a restart."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.adapters import write_adapter
from tests.e2e.server import Server, run_serve, serving, wait_ready
from tests.e2e.test_vllm import ARGUMENTS, engine_processes
from tests.tiny_models import write_tiny_model

pytest.importorskip("vllm", reason="vLLM is not installed")

NAMES = ("tiny", "clerk", "poet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny = write_tiny_model(folder / "tiny")
    for seed, name in enumerate(NAMES[1:], 1):
        write_adapter(folder / name, tiny, seed=seed)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    # The engine is "auto": adapters alone make it vLLM.
    arguments = ["--model", str(folder / "tiny"), *ARGUMENTS[2:]]
    for name in NAMES[1:]:
        arguments += ["--lora", f"{name}={folder / name}"]
    with serving(tmp_path_factory.mktemp("log"), arguments) as server:
        yield server
        assert server.terminate() == 0


def ask(server: Server, name: str) -> httpx.Response:
    body = {"model": name, "prompt": "def prefill(prompt):", "max_tokens": 16, "temperature": 0}
    return httpx.post(server.url + "/v1/completions", json=body, timeout=60)


def test_each_name_answers_for_itself_also_after_a_restart(server: Server) -> None:
    listed = [card["id"] for card in server.get("/v1/models").json()["data"]]
    assert listed == list(NAMES)
    before = {name: ask(server, name).json()["choices"][0]["text"] for name in NAMES}
    assert len(set(before.values())) == len(NAMES)
    assert ask(server, "nobody").status_code == 404
    os.kill(engine_processes(server)[0].pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while server.get("/readyz").status_code == 200:
        assert time.monotonic() < deadline, "the engine's death was not noticed"
        time.sleep(0.01)
    wait_ready(server)
    assert before == {name: ask(server, name).json()["choices"][0]["text"] for name in NAMES}


def test_what_is_served_and_counted_is_said(server: Server) -> None:
    ask(server, "poet")
    log = server.log.read_text()
    assert "clerk, poet" in log
    assert "(--lora)" in log
    assert '"model":"poet"' in log
    metrics = server.get("/metrics").text
    assert 'intramural_model_requests_total{model="poet"}' in metrics
    assert 'model="nobody"' not in metrics


def test_a_refused_adapter_ends_the_start(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    ended = run_serve("--model", str(folder / "tiny"), "--lora", f"bad={tmp_path}")
    assert ended.returncode == 2
    assert "adapter_model.safetensors" in ended.stderr
