from __future__ import annotations

import json
from pathlib import Path

import pytest

from serve.cli.main import main
from serve.doctor.checks import DEPLOYMENT, MACHINE


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.cli.doctor.harden_environment", lambda: None)


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_this_machine_as_json(tmp_path: Path, capsys) -> None:
    words = ["doctor", "--json", "--port", "0", "--data-dir", str(tmp_path)]
    assert main(words) == 0
    found = told(capsys)
    assert found["ok"] is True
    assert [row["check"] for row in found["findings"]] == list(MACHINE)  # type: ignore[attr-defined]


def test_what_is_amiss_is_the_exit_code(capsys) -> None:
    words = ["doctor", "--json", "--port", "0", "--host", "0.0.0.0"]
    assert main(words) == 1
    found = told(capsys)
    assert found["ok"] is False
    (row,) = (row for row in found["findings"] if row["level"] == "failure")  # type: ignore[attr-defined]
    assert (row["check"], "keys create" in row["advice"]) == ("keys", True)


def test_warnings_count_where_they_shall(capsys) -> None:
    words = ["doctor", "--json", "--port", "0", "--model", "qwen2-0.5b"]
    codes = [main(words), main([*words, "--strict"])]
    assert codes == [0, 1], "a model that is not here is a warning"


def test_a_deployment_as_a_table(capsys) -> None:
    assert main(["doctor", "--url", "http://127.0.0.1:9"]) == 1
    shown = capsys.readouterr().out
    assert all(name in shown for name in DEPLOYMENT)
    assert "→ Start it" in shown


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (["--prob-egress", "1"], "--probe-egress"),
        (["--probe-egress", "example.com:443"], "A name is not taken"),
        (["--url", "nowhere"], "--url"),
        (["--max-num-seqs", "0"], "--max-num-seqs"),
    ],
)
def test_what_makes_no_sense_says_why(capsys, words: list[str], word: str) -> None:
    assert main(["doctor", *words]) == 2
    assert word in capsys.readouterr().err
