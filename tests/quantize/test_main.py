"""The command: its words, its JSON and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.refs import QuantScheme
from models.store import demo
from models.trust.manifest import QUANTISED_FROM, Manifest
from quantize.__main__ import main
from tests.models.folders import whole

WEIGHTS = {"num_bits": 8, "type": "int", "strategy": "group"}
PER_CHANNEL = {
    "weights": {"num_bits": 8, "type": "int", "strategy": "channel"},
    "input_activations": {"num_bits": 8, "type": "int", "strategy": "token", "dynamic": True},
}


def events(capsys: pytest.CaptureFixture[str]) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_json_lines_tell_the_plan_the_way_and_the_end(tmp_path, capsys):
    command = ["demo", "--scheme", "int8", "--data-dir", str(tmp_path), "--json"]
    assert main(command) == 0
    told = events(capsys)
    assert told[0]["event"] == "plan"
    assert (told[0]["choice"], told[0]["num_layers"]) == ("int8", 44)
    assert told[0]["parts"].keys() == {"layers", "head", "embedding"}
    assert {event["phase"] for event in told if event["event"] == "progress"} == {
        *("verify", "quantise", "check", "measure", "commit")
    }
    done = told[-1]
    assert (done["event"], done["outcome"], done["name"]) == ("done", "made", "demo--int8")
    assert done["path"] == str(tmp_path / "models" / "demo--int8")
    assert done["report"]["relative_mse"] < 1e-4
    assert len(done["report"]["layers"]) == 44
    assert main(command) == 0
    assert events(capsys)[-1]["outcome"] == "present"


def test_a_dry_run_prints_the_plan_and_writes_nothing(tmp_path, capsys):
    command = ["demo", "--scheme", "int4", "--data-dir", str(tmp_path), "--dry-run"]
    assert main([*command, "--gpu", "24GB", "--tp", "2"]) == 0
    shown = capsys.readouterr().out
    for text in ("groups of 32", "bits per weight", "embedding", "on 2 GPUs", "24 GB GPU"):
        assert text in shown
    assert list(tmp_path.iterdir()) == []


def test_a_folder_goes_to_a_folder(tmp_path, capsys):
    assert main(["demo", "--scheme", "fp8", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "made out" in said
    assert said.endswith(f"serve it: python -m serve --model {tmp_path / 'out'}\n")
    assert (tmp_path / "out" / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing-of-that-name", "--scheme", "int8"], "there is no model"),
        (["demo", "--scheme", "int8", "--ignore", "["], "regular expression"),
        (["demo", "--scheme", "int8", "--ignore", "."], "nothing can be quantised"),
        (["demo", "--scheme", "int4", "--sensitive", "["], "regular expression"),
        (["demo", "--scheme", "fp8", "--embeddings", "8"], "--embeddings 8 with fp8"),
        (["demo", "--scheme", "auto:1MB"], "the smallest is int4 with"),
        (["demo", "--scheme", "auto:9MB", "--sensitive", "x"], "chooses itself"),
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
        ["--scheme", "none"],
        ["--scheme", "int5"],
        ["--scheme", "auto:"],
        ["--lm-head", "4"],
        ["--gpu", "24"],
        ["--method", "x"],
    ],
)
def test_words_that_mean_nothing_are_refused(words):
    with pytest.raises(SystemExit):
        main(["demo", "--scheme", str(QuantScheme.INT8), *words])


@pytest.mark.parametrize(
    ("size", "choice"),
    [("20MB", "none"), ("8MB", "int8"), ("6.5MB", "int4-down"), ("5.5MB", "int4")],
)
def test_a_budget_takes_the_best_that_fits(tmp_path, capsys, size, choice):
    command = ["demo", "--scheme", f"auto:{size}", "--data-dir", str(tmp_path), "--dry-run"]
    assert main([*command, "--json"]) == 0
    assert events(capsys)[0]["choice"] == choice
    assert main(command) == 0
    assert ("nothing is made" if choice == "none" else choice) in capsys.readouterr().out


def test_a_budget_takes_only_what_it_may(tmp_path, capsys):
    command = ["demo", "--scheme", "auto:20MB", "--data-dir", str(tmp_path), "--dry-run", "--json"]
    assert main([*command, "--among", "int4", "int4-down"]) == 0
    assert events(capsys)[0]["choice"] == "int4"


def stored(tmp_path: Path, group: dict[str, object], made_from: str) -> Path:
    """What somebody made in another way, as demo--int8."""
    config = {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}}
    folder = whole(tmp_path / "models" / "demo--int8", quantization_config=config)
    Manifest.build(folder, tools={QUANTISED_FROM: made_from}).write(folder)
    return folder


def test_nothing_is_made_where_a_server_would_take_what_is_there(tmp_path, capsys):
    digest = Manifest.build(demo().path).digest
    folder = stored(tmp_path, {"weights": WEIGHTS}, digest)
    own = Manifest.read(folder).digest
    words = ["demo", "--scheme", "int8", "--data-dir", str(tmp_path)]
    assert main(words) == 2  # another recipe
    capsys.readouterr()
    assert main([*words, "--if-needed"]) == 0
    assert f"here already: demo--int8\n  {folder}\n  {own}" in capsys.readouterr().out
    assert main([*words, "--if-needed", "--json"]) == 0
    (done,) = events(capsys)
    assert (done["outcome"], done["digest"]) == ("present", own)


@pytest.mark.parametrize("what", ["former format", "other weights"])
def test_what_is_out_of_date_is_made_anew(tmp_path, capsys, what):
    digest = Manifest.build(demo().path).digest
    group = PER_CHANNEL if what == "former format" else {"weights": WEIGHTS}
    folder = stored(tmp_path, group, digest if what == "former format" else "sha256:" + "0" * 64)
    before = Manifest.read(folder).digest
    words = ["demo", "--scheme", "int8", "--no-measure", "--data-dir", str(tmp_path)]
    assert main([*words, "--if-needed"]) == 0
    capsys.readouterr()
    made = Manifest.read(folder)
    assert made.digest != before
    assert made.tools[QUANTISED_FROM] == digest


@pytest.mark.parametrize("scheme", ["none", "auto"])
def test_weights_as_they_are_need_nothing(tmp_path, capsys, scheme):
    words = ["demo", "--scheme", scheme, "--data-dir", str(tmp_path)]
    assert main([*words, "--if-needed"]) == 0
    assert "nothing is made" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SystemExit):
        main(words)


@pytest.mark.parametrize("words", [["--replace"], ["--out", "x"]])
def test_what_decides_itself_is_told_nothing_else(words, capsys):
    with pytest.raises(SystemExit):
        main(["demo", "--scheme", "int8", "--if-needed", *words])
    assert "decides itself" in capsys.readouterr().err


@pytest.mark.parametrize("scheme", ["none", "auto"])
def test_what_makes_nothing_is_refused_unless_it_may(
    scheme: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit):
        main(["demo", "--scheme", scheme])
    error = capsys.readouterr().err
    assert f"{scheme} is what the model is already. Name a scheme to make" in error
