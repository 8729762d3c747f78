"""The command, on the fake engine's server and where no server comes up."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.child import StartError
from benchmarks.trial import checks, command, serving
from benchmarks.trial.serving import ServerOptions
from serve.engine.vllm.processes import family
from tests.e2e.server import REPOSITORY
from tests.e2e.server import serving as served


def outcomes(findings) -> dict[str, str]:
    return {check.name: str(check.outcome) for check in findings.checks}


def test_a_server_without_sense_is_weak_and_not_at_fault(tmp_path):
    with served(tmp_path, ["--model", "demo", "--engine", "fake"]) as server:
        found = command.examine(server.url, "fake", "none", 600)
        other = command.examine(server.url, "fake", "int8", 0)
        assert server.terminate() == 0
    seen = outcomes(found)
    assert "fault" not in seen.values()
    assert set(seen) == {name for name, _ in checks.all_checks()}
    assert seen["card"] == seen["template"] == seen["speed"] == "ok"
    assert seen["english: capital"] == seen["long prompt"] == "weak"
    assert found.is_right
    assert len(found.next_tokens) == 3 * checks.NUM_PLACES
    assert {"ttft_s", "decode_tokens_s", "prefill_tokens_s"} <= set(found.figures)
    # It was asked for int8 and serves full weights: whatever it answers, that is not right.
    assert outcomes(other)["card"] == "fault"
    assert outcomes(other)["long prompt"] == "skipped"


def test_a_server_that_does_not_start_has_its_reason_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    more = ["--serve", "--lora a=./nowhere", "--data-dir", str(tmp_path), "--json"]
    assert main(["trial", "demo", "--quant", "none", *more]) == command.NOT_RIGHT
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["schema"] == command.SCHEMA
    assert document["is_right"] is False
    (check,) = document["servers"][0]["checks"]
    assert (check["name"], check["outcome"]) == ("start", "fault")
    assert "nowhere" in check["detail"]
    assert "transformers none: start: fault" in err


def test_what_an_engine_does_not_run_is_told_and_not_started(tmp_path, capsys):
    arguments = ["trial", "demo", "--quant", "fp8", "--data-dir", str(tmp_path)]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    out = capsys.readouterr().out
    assert "transformers fp8: not served" in out
    written = (tmp_path / "out" / "trial.json").read_text()
    assert json.loads(written) == json.loads(out.splitlines()[-1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-model"], "no-such-model"),
        (["demo", "--serve", "'open"], "--serve"),
    ],
)
def test_refused(tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as ended:
        main(["trial", *arguments, "--data-dir", str(tmp_path)])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


WAITS = """
import sys, time
from pathlib import Path
from benchmarks.trial.serving import ServerOptions, started
logs = Path(sys.argv[1])
options = ServerOptions(model="demo", engine="fake", scheme="auto", data_dir=logs, logs=logs)
with started(options, print):
    print("up", flush=True)
    time.sleep(60)
"""


def test_a_server_does_not_outlive_a_terminated_trial(tmp_path):
    command_ = [sys.executable, "-c", WAITS, str(tmp_path)]
    trial = subprocess.Popen(command_, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert trial.stdout is not None
    while trial.stdout.readline().strip() != "up":
        assert trial.poll() is None
    children = [each for each in family([trial.pid]) if each.pid != trial.pid]
    assert children
    trial.terminate()
    trial.communicate(timeout=60)
    assert trial.returncode == serving.TERMINATED
    assert not any(Path(f"/proc/{child.pid}").exists() for child in children)


def test_a_start_that_takes_too_long_is_ended(tmp_path):
    options = ServerOptions(
        model="demo",
        engine="transformers",
        scheme="none",
        data_dir=tmp_path,
        logs=tmp_path,
        start_timeout_s=0.0,
    )
    with pytest.raises(StartError, match="not ready in time"), serving.started(options, print):
        pass
