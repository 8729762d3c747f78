"""The command: its words, its JSON and its exit codes."""

from __future__ import annotations

import json

import pytest

from models.refs import QuantScheme
from quantize.__main__ import main


def events(capsys: pytest.CaptureFixture[str]) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_json_lines_tell_the_plan_the_way_and_the_end(tmp_path, capsys):
    command = ["demo", "--scheme", "int8", "--data-dir", str(tmp_path), "--json"]
    assert main(command) == 0
    told = events(capsys)
    assert told[0]["event"] == "plan"
    assert told[0]["num_layers"] == 42
    assert {event["phase"] for event in told if event["event"] == "progress"} == {
        *("verify", "quantise", "check", "commit")
    }
    done = told[-1]
    assert (done["event"], done["outcome"], done["name"]) == ("done", "made", "demo--int8")
    assert done["path"] == str(tmp_path / "models" / "demo--int8")
    assert done["report"]["relative_mse"] < 1e-4
    assert len(done["report"]["layers"]) == 42
    assert main(command) == 0
    assert events(capsys)[-1]["outcome"] == "present"


def test_a_dry_run_prints_the_plan_and_writes_nothing(tmp_path, capsys):
    command = ["demo", "--scheme", "int4", "--data-dir", str(tmp_path), "--dry-run"]
    assert main([*command, "--gpu", "24GB", "--tp", "2"]) == 0
    shown = capsys.readouterr().out
    for text in ("groups of 128", "bits per weight", "lm_head", "on 2 GPUs", "24 GB GPU"):
        assert text in shown
    assert list(tmp_path.iterdir()) == []


def test_a_folder_goes_to_a_folder(tmp_path, capsys):
    assert main(["demo", "--scheme", "fp8", "--out", str(tmp_path / "out")]) == 0
    assert "made out" in capsys.readouterr().out
    assert (tmp_path / "out" / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing-of-that-name", "--scheme", "int8"], "there is no model"),
        (["demo", "--scheme", "int8", "--ignore", "["], "regular expression"),
        (["demo", "--scheme", "int8", "--ignore", "."], "nothing can be quantised"),
    ],
)
def test_what_cannot_be_done_is_2_and_says_why(tmp_path, capsys, words, said):
    assert main([*words, "--data-dir", str(tmp_path)]) == 2
    assert said in capsys.readouterr().err
    assert main([*words, "--data-dir", str(tmp_path), "--json"]) == 2
    assert said in events(capsys)[-1]["message"]


@pytest.mark.parametrize(
    "words",
    [
        ["--group-size", "100"],
        ["--tp", "0"],
        ["--gpu", "24"],
        ["--scheme", "none"],
        ["--method", "x"],
    ],
)
def test_words_that_mean_nothing_are_refused(words):
    with pytest.raises(SystemExit):
        main(["demo", "--scheme", str(QuantScheme.INT8), *words])
