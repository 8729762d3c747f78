"""Systems behind HTTP: their command lines, their requests, and a start that fails."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.cases import Case
from benchmarks.compare import servers
from benchmarks.compare.servers import Server
from benchmarks.compare.systems import Bench, MissingError
from benchmarks.serving.client import Endpoint
from models.refs import Artifact, QuantScheme
from tests.benchmarks.traces import trace

CASE = Case(phase="decode", batch=4, prompt_tokens=10, max_tokens=20)
BENCH = Bench(
    full=Artifact(name="m", path=Path("/models/m")),
    cache_dir=Path("/cache"),
    dtype="bfloat16",
    cases=(CASE,),
    llama_python=None,
)
STARTS = {"ours": servers.start_ours, "vllm": servers.start_vllm}


class Child:
    """A process that is over, and its last words."""

    is_running = False

    def __init__(self) -> None:
        self.is_closed = False

    def log_end(self) -> str:
        return "no such model"

    async def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def commands(monkeypatch) -> list[list[str]]:
    """Command lines of servers that would have been started."""
    seen: list[list[str]] = []

    async def up(_bench, _name, command, port, ready) -> str:
        seen.append([*command, f"{port}{ready}"])
        return "up"

    monkeypatch.setattr(servers, "_up", up)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    return seen


def flag(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


@pytest.mark.parametrize("name", STARTS)
async def test_both_get_the_same_model_and_the_same_limits(name, commands) -> None:
    await STARTS[name](BENCH, QuantScheme.NONE)
    (command,) = commands
    assert flag(command, "--model") == "/models/m"
    assert flag(command, "--max-model-len") == str(BENCH.length)
    assert flag(command, "--max-num-seqs") == "4"
    assert flag(command, "--dtype") == "bfloat16"
    assert "--no-enable-prefix-caching" in command
    assert flag(command, "--port") in command[-1]


async def test_ours_serves_the_scheme_that_is_compared(commands) -> None:
    await servers.start_ours(BENCH, QuantScheme.INT8)
    assert flag(commands[0], "--quant") == "int8"


@pytest.mark.parametrize("name", STARTS)
async def test_without_vllm_it_says_how_to_get_it(name, monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingError, match="make setup"):
        await STARTS[name](BENCH, QuantScheme.NONE)


async def test_a_server_that_ends_at_once_is_missing_with_its_last_words(monkeypatch) -> None:
    child = Child()
    monkeypatch.setattr(servers, "Child", lambda *_, **__: child)
    with pytest.raises(MissingError, match="did not start: no such model"):
        await servers._up(BENCH, "x", ["x"], 9, "/readyz")
    assert child.is_closed


async def test_a_request_is_of_token_ids_without_an_early_end(monkeypatch) -> None:
    bodies = []

    async def stream(_: Endpoint, request: bytes):
        bodies.append(json.loads(request.partition(b"\r\n\r\n")[2]))
        return trace(0.0, 1.0)

    monkeypatch.setattr(servers, "stream", stream)
    server = Server(Child(), Endpoint.parse("http://127.0.0.1:1"))
    assert len(await server.ask_all("x", [[1, 2], [3]], 5)) == 2
    assert [body["prompt"] for body in bodies] == [[1, 2], [3]]
    for body in bodies:
        assert (body["max_tokens"], body["ignore_eos"], body["temperature"]) == (5, True, 0)


async def test_an_answer_that_is_not_whole_is_no_measurement(monkeypatch) -> None:
    async def stream(*_: object):
        return SimpleNamespace(error="status 500", arrivals_at=[])

    monkeypatch.setattr(servers, "stream", stream)
    with pytest.raises(RuntimeError, match="status 500"):
        await Server(Child(), Endpoint.parse("http://127.0.0.1:1")).ask_all("x", [[1]], 5)


@pytest.mark.parametrize("name", STARTS)
async def test_on_a_gpu_each_has_its_part_and_captured_graphs(name, commands) -> None:
    await STARTS[name](replace(BENCH, gpu_share=0.22), QuantScheme.NONE)
    assert flag(commands[0], "--gpu-memory-utilization") == "0.22"
    assert "--enforce-eager" not in commands[0]


@pytest.mark.parametrize("name", STARTS)
async def test_on_a_cpu_neither_waits_for_a_compiler(name, commands) -> None:
    await STARTS[name](BENCH, QuantScheme.NONE)
    assert "--enforce-eager" in commands[0]
    assert "--gpu-memory-utilization" not in commands[0]
