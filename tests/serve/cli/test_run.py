"""`python -m serve run`: whose server is asked, with what, and what is left of it."""

from __future__ import annotations

import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from serve.cli import run
from serve.cli.flags import build_parser, parse, settings
from serve.cli.main import main
from tests.e2e.server import REPOSITORY, environment, free_port, serving


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The words that the chat gets, which does not take place."""
    words: list[list[str]] = []

    def run_chat(argv: Sequence[str]) -> int:
        words.append(list(argv))
        return 0

    monkeypatch.setattr("serve.cli.chat.run_chat", run_chat)
    return words


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], int]]:
    """The servers that would have been started."""
    servers: list[tuple[list[str], int]] = []

    @contextmanager
    def own_server(flags: Sequence[str], port: int) -> Iterator[str]:
        servers.append((list(flags), port))
        yield "http://own"

    monkeypatch.setattr(run, "own_server", own_server)
    return servers


def test_a_server_of_this_model_is_asked(
    monkeypatch: pytest.MonkeyPatch, asked: list[list[str]], started: list[object]
) -> None:
    monkeypatch.setattr(run, "served_at", lambda _url: ["demo", "other"])
    assert main(["run", "demo", "17 + 25?", "--port", "8123", "--max-tokens", "9"]) == 0
    url = "http://127.0.0.1:8123"
    assert asked == [["17 + 25?", "--max-tokens", "9", "--url", url, "--model", "demo"]]
    assert started == []


@pytest.mark.parametrize(("names", "is_free"), [(None, True), (["another"], False), ([], False)])
def test_else_one_is_started_on_a_port_that_is_free(
    monkeypatch: pytest.MonkeyPatch,
    asked: list[list[str]],
    started: list[tuple[list[str], int]],
    names: list[str] | None,
    is_free: bool,
) -> None:
    monkeypatch.setattr(run, "served_at", lambda _url: names)
    words = ["--quant", "int8", "--no-offline", "--engine-arg", "a=1", "--engine-arg", "b=2"]
    assert main(["run", "demo", "--port", "8123", "--host", "0.0.0.0", *words]) == 0
    assert asked == [["--url", "http://own"]]
    ((flags, port),) = started
    assert (port == 8123) is is_free
    given = settings(parse(flags))
    assert given == settings(parse(["--model", "demo", "--host", "127.0.0.1", *words]))


def test_every_setting_is_passed_on_as_it_was_given() -> None:
    words = ["--served-model-name", "a", "b", "--lora", "x=/x", "--lora", "y=/y", "--config", "c"]
    words += ["--enable-prefix-caching", "--allowed-origins", "http://a", "http://b", "--dtype"]
    arguments = build_parser().parse_args([*words, "float32"])
    again = parse(run._flags(Namespace(**vars(arguments) | {"name": "demo"})))
    assert settings(again) == settings(arguments) | {"model": "demo", "host": "127.0.0.1"}
    assert again.config == Path("c")


def test_a_near_miss_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "demo", "--quan", "int8"]) == 2
    assert "Did you mean --quant" in capsys.readouterr().err


def test_one_answer_from_nothing_and_no_server_is_left(tmp_path: Path) -> None:
    """Really: the fake engine answers, and its process is gone."""
    port = free_port()
    command = [sys.executable, "-m", "serve", "run", "demo", "Hi?", "--engine", "fake"]
    result = subprocess.run(
        [*command, "--port", str(port), "--max-tokens", "8", "--state-dir", str(tmp_path)],
        cwd=REPOSITORY,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip()
    assert '"level"' not in result.stdout + result.stderr
    assert run.served_at(f"http://127.0.0.1:{port}") is None


def test_a_model_that_is_refused_says_why(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "serve", "run", str(tmp_path), "--port", str(free_port())],
        cwd=REPOSITORY,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 2
    assert result.stderr.count("error: ") == 1
    assert "config.json" in result.stderr


def test_a_server_that_runs_is_found(tmp_path: Path) -> None:
    with serving(tmp_path, ["--engine", "fake"]) as server:
        assert run.served_at(server.url) == ["demo"]


def test_a_certificate_is_refused_rather_than_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--ssl-certfile", str(tmp_path / "a"), "--ssl-keyfile", str(tmp_path / "b")]
    assert main(["run", "demo", *words]) == 2
    assert "without TLS" in capsys.readouterr().err
