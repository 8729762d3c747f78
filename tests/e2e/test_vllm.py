"""`python -m serve --engine vllm`: in an empty network, and through the death of its engine."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serve.engine.vllm.processes import shared_memory
from tests import programs
from tests.e2e.alone import UNSHARE
from tests.e2e.server import (
    REPOSITORY,
    Server,
    engine_processes,
    environment,
    serving,
    wait_ready,
)
from tests.tiny_models import write_tiny_model

pytest.importorskip("vllm", reason="vLLM is not installed")

ARGUMENTS = ["--engine", "vllm", "--enforce-eager", "--max-model-len", "512", "--max-num-seqs", "8"]
PROMPT = "def prefill(prompt): return decode(prompt)  # two phases, one cache\n" * 8


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def server(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("log"), ["--model", str(tiny), *ARGUMENTS]) as server:
        yield server
        assert server.terminate() == 0


def ask(server: Server, **fields: object) -> httpx.Response:
    body = {"model": "tiny", "prompt": PROMPT, "max_tokens": 4, "temperature": 0} | fields
    return httpx.post(server.url + "/v1/completions", json=body, timeout=60)


def cached_tokens(answer: httpx.Response) -> int:
    assert answer.status_code == 200, answer.text
    return int(answer.json()["usage"]["prompt_tokens_details"]["cached_tokens"])


def test_cached_tokens_are_reported_and_salted(server: Server) -> None:
    ask(server)
    again = cached_tokens(ask(server))
    assert again > 0
    assert cached_tokens(ask(server, cache_salt="mine")) == 0
    assert cached_tokens(ask(server, cache_salt="mine")) == again


def test_auto_says_why_and_phases_are_shown(server: Server) -> None:
    phases = {phase["name"] for phase in server.get("/startupz").json()["phases"]}
    assert {"import", "load_weights", "allocate_kv", "warm_up"} <= phases
    assert "KV cache" in server.log.read_text()


@pytest.mark.parametrize("victim", ["core", "worker"])
def test_a_killed_engine_comes_back(server: Server, victim: str) -> None:
    processes = engine_processes(server)
    files = shared_memory(processes)
    assert len(processes) == 2
    assert files
    body = {"model": "tiny", "prompt": "x", "max_tokens": 500, "ignore_eos": True, "stream": True}
    with httpx.stream("POST", server.url + "/v1/completions", json=body, timeout=60) as response:
        lines = (line for line in response.iter_lines() if line)
        next(lines)
        os.kill(processes[0 if victim == "core" else -1].pid, signal.SIGKILL)
        events = [json.loads(line.removeprefix("data: ")) for line in lines if "[DONE]" not in line]
    assert events[-1]["error"]["code"] == "engine_dead"
    assert server.get("/livez").status_code == 200
    wait_ready(server)
    assert ask(server).status_code == 200
    assert all(not process.is_alive() for process in processes)
    assert [file for file in files if file.exists()] == []


def isolated(*, tracer: list[str], folder: Path, tiny: Path) -> dict[str, object]:
    """The last line of `alone.py`, run without a network; skips where that is not permitted."""
    programs.skip_without_own_network(UNSHARE)
    program = [sys.executable, "-m", "tests.e2e.alone", str(folder)]
    ended = subprocess.run(
        [*tracer, *UNSHARE, *program, "--model", str(tiny), *ARGUMENTS],
        cwd=REPOSITORY,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    result: dict[str, object] = json.loads(ended.stdout.splitlines()[-1])
    return result


def test_it_serves_without_a_network_and_dials_nowhere(
    tmp_path: Path, tiny: Path, *, is_proving: bool
) -> None:
    trace = tmp_path / "trace"
    strace = ["strace", "-f", "--seccomp-bpf", "-e", "trace=connect,sendto", "-o", str(trace)]
    if is_proving:
        programs.require(["strace"], is_proving=True)
    tracer = [] if programs.find("strace") is None else strace
    result = isolated(tracer=tracer, folder=tmp_path, tiny=tiny)
    assert result["interfaces"] == ["lo"]
    assert result["code"] == 0
    assert result["answer"]["usage"]["completion_tokens"] == 5  # type: ignore[index]
    if trace.exists():
        calls = [line for line in trace.read_text().splitlines() if "AF_INET" in line]
        assert calls, "the client's own connection is missing: nothing was traced"
        assert [line for line in calls if not re.search(r'"(127\.|::1)', line)] == []
