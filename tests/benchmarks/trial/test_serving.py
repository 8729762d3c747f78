"""A server for a trial: its command line, the phases of its start, and why it did not come up."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from benchmarks.child import StartError
from benchmarks.trial import serving
from benchmarks.trial.serving import ServerOptions

OPTIONS = ServerOptions(
    model="./m",
    engine="vllm",
    scheme="int4",
    data_dir=Path("/data"),
    logs=Path("/logs"),
    more=["--max-model-len", "8192"],
)


class Child:
    """A process that runs for so many looks at it, and what it printed."""

    def __init__(self, looks: int, words: str = "") -> None:
        self.looks, self.words = looks, words
        self.process = SimpleNamespace(poll=lambda: 1)

    @property
    def is_running(self) -> bool:
        self.looks -= 1
        return self.looks >= 0

    def log_end(self) -> str:
        return self.words


@pytest.fixture
def states(monkeypatch) -> list[object]:
    """What /startupz answers, one after the other; an exception is raised."""
    answers: list[object] = []

    def get(*_: object) -> SimpleNamespace:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(json=lambda: answer)

    client = SimpleNamespace(get=get)
    monkeypatch.setattr(serving, "PAUSE_S", 0.0)
    monkeypatch.setattr(serving.httpx, "Client", lambda **_: Context(client))
    return answers


class Context:
    def __init__(self, inner: object) -> None:
        self.inner = inner

    def __enter__(self) -> object:
        return self.inner

    def __exit__(self, *_: object) -> None: ...


def phase(name: str, *, is_finished: bool = False) -> dict:
    return {"name": name, "is_finished": is_finished}


def test_the_command_line_has_what_was_asked_for_and_further_flags_last() -> None:
    command = OPTIONS.command(8123)
    pairs = dict(zip(command[3::2], command[4::2], strict=True))
    assert pairs == {
        "--model": "./m",
        "--engine": "vllm",
        "--quant": "int4",
        "--data-dir": "/data",
        "--port": "8123",
        "--host": "127.0.0.1",
        "--max-model-len": "8192",
    }
    assert command[-2:] == ["--max-model-len", "8192"]


def test_every_server_of_a_run_has_a_log_of_its_own() -> None:
    assert OPTIONS.log == Path("/logs/trial-vllm-int4.log")


def test_each_phase_is_told_once_when_it_begins(states) -> None:
    states += [
        httpx.ConnectError("not yet"),
        {"status": "starting", "phases": [phase("verify")]},
        {"status": "starting", "phases": [phase("verify")]},
        ValueError("no JSON"),
        {"status": "starting", "phases": [phase("verify", is_finished=True), phase("load")]},
        {"status": "started"},
    ]
    phases: list[str] = []
    serving._wait(Child(99), "http://x", float("inf"), phases.append)
    assert phases == ["verify", "load"]


def test_a_server_that_ends_has_its_last_lines_for_people_shown(states) -> None:
    states += [{}]
    words = '{"event": "log"}\n\nerror: no such model\n  Take another.\n{"event": "end"}'
    with pytest.raises(StartError) as error:
        serving._wait(Child(1, words), "http://x", float("inf"), print)
    assert str(error.value) == "the server ended (1): error: no such model Take another."


def test_a_start_of_log_lines_alone_has_their_end_shown(states) -> None:
    with pytest.raises(StartError, match=r'\{"event": "log"\}'):
        serving._wait(Child(0, '{"event": "log"}'), "http://x", float("inf"), print)


def test_a_start_that_takes_too_long_says_so(states) -> None:
    with pytest.raises(StartError, match="was not ready in time"):
        serving._wait(Child(99), "http://x", 0.0, print)


@pytest.mark.parametrize(
    ("text", "words"), [("", []), ("--lora 'a b=./x' -v", ["--lora", "a b=./x", "-v"])]
)
def test_further_flags_are_read_as_a_shell_would(text, words) -> None:
    assert serving.flags(text) == words


def test_an_open_quotation_is_refused_with_the_flags() -> None:
    with pytest.raises(ValueError, match='--serve "\'open": No closing quotation'):
        serving.flags("'open")
