"""The command on a stub: rounds in turn, a failure as a note, and the exit codes."""

from __future__ import annotations

import json

import pytest

from benchmarks.__main__ import main
from benchmarks.agent import command, servers
from benchmarks.compare.systems import MissingError
from benchmarks.stopping import StoppedError
from tests.benchmarks.agent.stub import Stub

SHORT = ["--turns", "3", "--system-tokens", "30", "--tools-as-text", "--turn-tokens", "5"]
URLS = ["--url", "one=http://one/v1", "two=http://two"]


@pytest.fixture
def stub(monkeypatch) -> Stub:
    stub = Stub(lambda _: [{"content": "Good day"}])
    stub.usage = lambda body: {
        "prompt_tokens": 100 * len(body["messages"]),
        "completion_tokens": 2,
        "prompt_tokens_details": {"cached_tokens": 90},
    }
    stub.take_over(monkeypatch)
    return stub


def run(*arguments: str) -> int:
    return main(["agent", "demo", *SHORT, *arguments])


def test_systems_take_turns_round_after_round(stub, tmp_path, capsys):
    arguments = ["--servers", *URLS, "--rounds", "2", "--out", str(tmp_path)]
    assert run(*arguments) == 0
    out, err = capsys.readouterr()
    document = json.loads(out.splitlines()[-1])
    assert document == json.loads((tmp_path / "agent.json").read_text()) | {
        "made_at": document["made_at"],
        "machine": document["machine"],
    }
    assert [system["system"] for system in document["systems"]] == ["one", "two"]
    for system in document["systems"]:
        assert [len(turns) for turns in system["rounds"]] == [6, 6]
        assert 0 < system["medians"]["share_reused"] <= 1
    assert document["settings"]["turns"] == 3
    assert document["settings"]["tools_as_text"] is True
    starts = [line.split()[3] for line in err.splitlines() if ": start" in line]
    assert starts == ["one:", "two:", "one:", "two:"]
    assert len(stub.asked) == 4 * (6 + 1)
    assert "total" in out


def test_a_server_that_is_missing_is_a_note_and_the_others_are_measured(stub, capsys):
    assert run("--servers", "llama.cpp", *URLS, "--json") == command.NOT_MEASURED
    (line,) = capsys.readouterr().out.splitlines()
    document = json.loads(line)
    assert "llama.cpp: after 0 turns" in document["notes"][0]
    assert [len(system["rounds"]) for system in document["systems"]] == [0, 1, 1]


def test_each_scheme_is_a_system(stub, monkeypatch, capsys):
    def missing(system, *_):
        raise MissingError(system.label)

    monkeypatch.setattr(servers, "started", missing)
    run("--quant", "none", "int8", "--servers", "intramural", "intramural-vllm", "--json")
    systems = json.loads(capsys.readouterr().out)["systems"]
    assert [one["system"] for one in systems] == [
        *("intramural", "intramural int8", "intramural-vllm")
    ]


@pytest.mark.parametrize(
    ("ending", "code"), [(StoppedError(2), 130), (SystemExit(143), 143)], ids=["SIGINT", "SIGTERM"]
)
def test_what_was_measured_before_the_end_is_told(stub, monkeypatch, capsys, ending, code):
    started = servers.started

    def until_two(system, *more):
        if system.name == "two":
            raise ending
        return started(system, *more)

    monkeypatch.setattr(servers, "started", until_two)
    assert run("--servers", *URLS, "--json") == code
    document = json.loads(capsys.readouterr().out)
    assert [len(system["rounds"]) for system in document["systems"]] == [1, 0]
    assert "stopped by" in document["notes"][0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--servers"], "no server"), (["--servers", "--url", "http://h:1"], "NAME=http")],
)
def test_refusals(arguments, words, capsys):
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
