"""The program of the scenarios: which it runs, at what capacity, and on what server."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from benchmarks.child import StartError
from benchmarks.overload import __main__ as program


def options(scenario: str, **more: Any) -> argparse.Namespace:
    plain = {
        "scenario": scenario,
        "model": None,
        "max_num_seqs": 4,
        "queue": 8,
        "pace": 50.0,
        "times": 10.0,
        "load": 0.5,
        "seconds": 60.0,
        "capacity": 20.0,
    }
    return argparse.Namespace(**(plain | more))


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Scenarios that were run, with what they were told."""
    seen: list[tuple[Any, ...]] = []

    def noting(name: str) -> Any:
        async def run(*arguments: Any) -> Any:
            seen.append((name, *arguments))
            return 30.0 if name == "peak" else {"of": name}

        return run

    async def no_pause(_seconds: float) -> None:
        return

    for name in program.SCENARIOS:
        monkeypatch.setattr(program.scenarios, name, noting(name))
    monkeypatch.setattr(program.asyncio, "sleep", no_pause)
    return seen


async def test_a_flood_is_of_a_share_of_the_capacity(ran) -> None:
    assert await program._run(options("flood"), ["a", "b"]) == {"of": "flood"}
    assert ran == [("flood", ["a", "b"], 10.0, 60.0, 10.0)]


async def test_an_overload_is_one_tenant_s(ran) -> None:
    await program._run(options("overload"), ["a", "b"])
    assert ran == [("overload", "a", 20.0, 60.0, 10.0, 8)]


async def test_a_capacity_that_is_not_given_is_measured_first(ran, capsys) -> None:
    found = await program._run(options("peak", capacity=None), ["a", "b"])
    assert found == {"answers_per_s": 30.0}
    assert ran == [("peak", "b", 8, 20.0)]
    assert "capacity: 30.00 answers/s" in capsys.readouterr().out


class Server:
    def __init__(self, command: list[str], log: Path) -> None:
        self.command, self.log, self.is_closed = command, log, False

    async def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> list[Server]:
    made: list[Server] = []

    def make(command: list[str], log: Path) -> Server:
        made.append(Server(command, log))
        return made[-1]

    monkeypatch.setattr(program, "Child", make)
    return made


@pytest.mark.parametrize(("model", "is_fake"), [(None, True), ("/models/m", False)])
async def test_without_a_model_the_engine_is_the_fake_one(
    servers, monkeypatch, tmp_path, model, is_fake
) -> None:
    async def ready(_child: Any, url: str, **_: Any) -> None:
        assert url.endswith("/readyz")

    monkeypatch.setattr(program, "wait_ready", ready)
    server, url = await program._started(options("peak", model=model), tmp_path, tmp_path / "keys")
    words = " ".join(server.command)
    assert ("--engine fake --fake-tokens-per-s 50.0" in words) == is_fake
    assert f"--model {model or 'demo'} " in words
    assert "--max-num-seqs 4 --max-num-queued-reqs 8" in words
    assert words.endswith(f"--port {url.rpartition(':')[2]}")


async def test_a_server_that_does_not_start_ends_the_program(
    servers, monkeypatch, tmp_path
) -> None:
    async def ready(*_: Any, **__: Any) -> None:
        raise StartError("did not start: no such model")

    monkeypatch.setattr(program, "wait_ready", ready)
    with pytest.raises(SystemExit, match="the server did not start: no such model"):
        await program._started(options("peak"), tmp_path, tmp_path / "keys")
    assert servers[0].is_closed
