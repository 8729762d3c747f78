"""The generator and the command against our real server, with the fake engine."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from benchmarks.__main__ import main
from benchmarks.serving import hold
from tests.benchmarks.documents import SCHEMA


@pytest.fixture(scope="module")
def url():
    plan = hold.Plan(streams=64, rate=400, seconds=1)
    with hold.server(plan) as (port, _):
        yield f"http://127.0.0.1:{port}"


def test_many_streams_end_to_end() -> None:
    figures = hold.run(hold.Plan(streams=40, rate=50, seconds=1, is_pinned=True))
    assert (figures["dropped"], figures["errors"]) == (0, [])
    assert figures["tokens"] == 40 * 50


def test_a_sweep_end_to_end(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = tmp_path / "sweep"
    words = ["serving", "--url", url, "--rate", "10", "--sweep", "--max-levels", "2"]
    words += ["--requests", "6", "--input", "30", "--output", "8", "--slo", "ttft=5000"]
    assert main([*words, "--rounds", "2", "--out", str(sweep)]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    jsonschema.validate(report, SCHEMA)
    first = report["rows"][0]
    assert first["medians"]["completion_tokens"] == 8
    assert first["medians"]["prompt_tokens"] == pytest.approx(30, abs=8)
    assert len(first["samples"]["ttft_ms_p99"]) == 2
    assert first["medians"]["attainment"] == 1
    assert {path.suffix for path in sweep.iterdir()} == {".json", ".html", ".png"}
    assert main(["plan", str(sweep / "serving.json"), "--users", "50"]) == 0


def test_requests_that_the_server_does_not_honour_are_errors_with_a_note(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["serving", "--url", url, "--dataset", "tools", "--concurrency", "3"]
    assert main([*words, "--requests", "6", "--output", "4"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    asked_for_json = report["rows"][0]["medians"]["error_share"]
    assert asked_for_json == pytest.approx(1 / 3)
    assert any("response_format" in note for note in report["notes"])


@pytest.mark.parametrize(
    "words",
    [
        ["--url", "http://127.0.0.1:9"],
        ["--url", "nonsense"],
        ["--slo", "speed=3"],
        ["--rate", "-1"],
        ["--concurrency", "0"],
        ["--dataset", "replay"],
    ],
)
def test_what_cannot_be_measured_is_refused(words: list[str], url: str) -> None:
    given = words if "--url" in words else ["--url", url, *words]
    with pytest.raises(SystemExit) as ended:
        main(["serving", *given])
    assert ended.value.code == 2
