"""The command itself, as a process where its output or its environment matters."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from models.__main__ import main
from models.store import DirectoryStore
from tests.house.tree import ROOT
from tests.hub.emulator import Hub
from tests.hub.pulls import tiny_repo
from tests.models.folders import whole

REPO = "Qwen/Qwen2-7B-Instruct"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as started:
        started.add(REPO, tiny_repo())
        started.add("acme/gated", tiny_repo(), gated=True)
        yield started


def pull(
    hub: Hub, data_dir: Path, *words: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "models", "pull", *words, "--data-dir", str(data_dir)],
        cwd=ROOT,
        env=environment(hub) | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def environment(hub: Hub) -> Mapping[str, str]:
    without = ("HF_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
    kept = {name: value for name, value in os.environ.items() if name not in without}
    more = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_TOKEN_PATH": "/dev/null"}
    return kept | more


def test_an_alias_is_pulled_under_its_name_and_told_as_json_lines(hub, tmp_path):
    result = pull(hub, tmp_path, "qwen2-7b", "--json")
    assert result.returncode == 0, result.stderr
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert {event["event"] for event in events} == {"progress", "notice", "done"}
    phases = [event["phase"] for event in events if event["event"] == "progress"]
    assert list(dict.fromkeys(phases)) == ["resolve", "fetch", "check", "commit"]
    keys = {"event", "phase", "done_bytes", "total_bytes", "rate_bytes_per_s", "eta_s"}
    assert all(set(event) == keys for event in events if event["event"] == "progress")
    path = tmp_path.resolve() / "models" / "qwen2-7b"
    done = events[-1]
    assert done | {"digest": ""} == {
        "event": "done",
        "outcome": "pulled",
        "name": "qwen2-7b",
        "path": str(path),
        "digest": "",
        "repo": REPO,
        "commit": hub.repos[REPO].branches["main"],
    }
    assert done["digest"].startswith("sha256:")
    assert result.stderr == ""


def test_results_go_to_stdout_and_progress_to_stderr(hub, tmp_path):
    result = pull(hub, tmp_path, "qwen2-7b")
    assert "python -m serve --model qwen2-7b" in result.stdout
    assert "fetch" not in result.stdout
    assert "fetch 100%" in result.stderr
    assert "here already" in pull(hub, tmp_path, "qwen2-7b").stdout


def test_an_error_is_told_to_people_and_to_programs(hub, tmp_path):
    result = pull(hub, tmp_path, "acme/gated", "--json")
    assert result.returncode == 2
    event = json.loads(result.stdout.splitlines()[-1])
    assert (event["event"], event["kind"]) == ("error", "OriginError")
    assert "HF_TOKEN" in event["message"]
    result = pull(hub, tmp_path, "acme/gated")
    assert result.returncode == 2
    assert "error: acme/gated is gated" in result.stderr
    assert "Traceback" not in result.stderr


def test_tokens_appear_nowhere_but_in_requests(hub, tmp_path):
    (tmp_path / "token").write_text("hf_let_in\n")
    for words, variables in (
        (("acme/gated", "--token-file", str(tmp_path / "token")), {}),
        (("acme/gated", "--update"), {"HF_TOKEN": "hf_let_in"}),
        (("acme/gated", "--update"), {"HF_TOKEN": "hf_refused", "HF_DEBUG": "1"}),
    ):
        result = pull(hub, tmp_path / "data", *words, **variables)
        assert "hf_let_in" not in result.stdout + result.stderr
        assert "hf_refused" not in result.stdout + result.stderr
        assert result.returncode == (2 if "hf_refused" in variables.values() else 0)
    files = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert files
    assert not any(b"hf_let_in" in path.read_bytes() for path in files)


def test_another_endpoint_gets_only_a_token_that_was_given_for_it(hub, tmp_path):
    result = pull(hub, tmp_path, REPO, "--from", hub.url, HF_TOKEN="hf_let_in", HF_ENDPOINT="")
    assert result.returncode == 0, result.stderr
    assert not any("authorization" in seen.headers for seen in hub.seen)


def test_interrupting_keeps_what_is_there(hub, tmp_path):
    hub.bytes_per_s = 100_000
    command = [sys.executable, "-m", "models", "pull", "qwen2-7b", "--data-dir", str(tmp_path)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(hub),
        stderr=subprocess.PIPE,
        text=True,
        # As in a terminal: jobs in the background inherit that it is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("fetch"):
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "run it again" in errors
    assert "Traceback" not in errors
    assert DirectoryStore(tmp_path).names() == []


def test_a_reader_that_leaves_stops_nothing(hub, tmp_path):
    command = [sys.executable, "-m", "models", "pull", "qwen2-7b", "--json"]
    with subprocess.Popen(
        [*command, "--data-dir", str(tmp_path)],
        cwd=ROOT,
        env=environment(hub),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert DirectoryStore(tmp_path).find("qwen2-7b")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["qwen2-9b"], "neither an alias"),
        (["demo"], "built in"),
        (["acme/tiny", "--from", "./nowhere"], "no such folder"),
        (["acme/tiny", "--from", "gopher://x"], "not the address of a hub"),
        (["acme/tiny", "--token-file", "./nowhere"], "cannot be read"),
        (["acme/tiny", "--name", "../x"], "not a name in the store"),
    ],
)
def test_what_cannot_be_done_says_why(tmp_path, capsys, words, says):
    assert main(["pull", *words, "--data-dir", str(tmp_path)]) == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "two words", "\n", "ключ"])
def test_a_file_that_is_no_token(tmp_path, capsys, content):
    (tmp_path / "token").write_text(content)
    assert main(["pull", "acme/tiny", "--token-file", str(tmp_path / "token")]) == 2
    assert "--token-file" in capsys.readouterr().err


def test_a_token_s_file_that_cannot_be_read_says_why(tmp_path, capsys):
    assert main(["pull", "acme/tiny", "--token-file", str(tmp_path)]) == 2
    assert "is not a plain file but a folder" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["0", "65", "x", "-1"])
def test_numbers_of_files_at_a_time_have_bounds(number, capsys):
    with pytest.raises(SystemExit):
        main(["pull", "acme/tiny", "--parallel", number])
    assert "--parallel" in capsys.readouterr().err


def test_from_a_folder_under_any_name(tmp_path, capsys):
    folder = whole(tmp_path / "brought")
    code = main(["pull", "our-tune", "--from", str(folder), "--data-dir", str(tmp_path / "d")])
    assert code == 0
    served = f"serve it: python -m serve --model our-tune --data-dir {tmp_path / 'd'}\n"
    assert capsys.readouterr().out.endswith(served)
    assert DirectoryStore(tmp_path / "d").find("our-tune")
