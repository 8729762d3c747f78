"""The whole command on small random models: exit codes, files, and the last line of stdout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.quality import command, table
from benchmarks.quality.command import judged
from tests.benchmarks.quality.reports import report
from tests.tiny_models import write_tiny_model

TEXT = "Every word of this text is scored once, and most with something before it. " * 3


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("base") / "full", dtype="bfloat16")


@pytest.fixture
def words(tmp_path, base) -> list[str]:
    """Options that keep it short: one question, one text, no speed."""
    (tmp_path / "text.txt").write_text(TEXT)
    item = {"messages": [{"role": "user", "content": "hi"}], "expect": {"number": 1}}
    (tmp_path / "items.jsonl").write_text(json.dumps(item) + "\n")
    given = ["--text", str(tmp_path / "text.txt"), "--items", str(tmp_path / "items.jsonl")]
    return [*given, "--window", "32", "--streams", "--data-dir", str(tmp_path)]


def test_a_model_beside_itself(tmp_path, base, words, capsys):
    assert main(["quality", str(base), str(base), *words, "--gate"]) == 0
    out = capsys.readouterr().out
    assert "full: every gate of none holds" in out
    assert "text.txt" in out
    (row,) = json.loads(out.splitlines()[-1])["rows"]
    found = json.loads((tmp_path / "reports" / "full.json").read_text())
    assert row["agreement"]["all"]["top1"] == found["agreement"]["all"]["top1"]
    assert (tmp_path / "reports" / "full.png").read_bytes().startswith(b"\x89PNG")
    assert list(found["agreement"]) == ["evaluation", "text.txt", "all"]
    for each in found["agreement"].values():
        assert each["kl"]["largest"] == 0
        assert each["ratio"]["value"] == 1
    assert found["base"]["evaluation"] == {"right": 0, "items": 1}


def test_another_model_fails_the_gate(tmp_path, base, words, capsys):
    other = write_tiny_model(tmp_path / "other", dtype="bfloat16", seed=1)
    out = tmp_path / "elsewhere"
    assert main(["quality", str(base), str(other), *words, "--json", "--out", str(out)]) == 0
    shown = capsys.readouterr()
    assert all(json.loads(line) for line in shown.out.splitlines())
    assert "other: gate failed: mean KL" in shown.err
    assert main(["quality", str(base), str(other), *words, "--gate", "--no-items"]) == 1
    assert sorted(path.name for path in out.iterdir()) == ["other.json", "other.png"]
    found = json.loads((tmp_path / "reports" / "other.json").read_text())
    assert found["quantised"]["evaluation"] is None
    assert any("same most likely token" in line for line in found["failed"])


def test_without_a_text_of_yours_the_built_in_ones_are_read(tmp_path, base, capsys):
    words = ["--no-items", "--streams", "--data-dir", str(tmp_path), "--max-tokens", "40"]
    assert main(["quality", str(base), str(base), *words, "--window", "64"]) == 0
    found = json.loads((tmp_path / "reports" / "full.json").read_text())["agreement"]
    assert {name: each["tokens"] for name, each in found.items()} == {
        "english": 40,
        "chinese": 40,
        "code": 40,
        "all": 120,
    }


def test_several_models_are_one_table(tmp_path, base, words, capsys):
    others = [
        str(write_tiny_model(tmp_path / name, dtype="bfloat16", seed=seed))
        for seed, name in enumerate(("same", "other"))
    ]
    assert main(["quality", str(base), *others, *words, "--no-items"]) == 0
    out = capsys.readouterr().out
    rows = json.loads(out.splitlines()[-1])["rows"]
    assert [row["name"] for row in rows] == ["same (none)", "other (none)"]
    assert rows[0]["agreement"]["all"]["kl"]["mean"] < 1e-9
    assert rows[1]["agreement"]["all"]["kl"]["mean"] > 0.1
    assert {path.name for path in (tmp_path / "reports").iterdir()} == {
        *("same.json", "same.png", "other.json", "other.png")
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--gguf", "a.gguf", "b.gguf"], "needs --llama-cpp-python"),
        (["--llama-cpp-python", "/nowhere/python"], "is no interpreter"),
        (["--made", "x"], "several are to be measured"),
    ],
)
def test_options_that_do_not_go_together_are_refused(  # noqa: PLR0917
    tmp_path, base, words, options, message, capsys
):
    other = write_tiny_model(tmp_path / "other", dtype="bfloat16", seed=1)
    assert main(["quality", str(base), str(base), str(other), *words, *options]) == 2
    assert message in capsys.readouterr().err


def test_two_models_of_one_name_are_refused(tmp_path, base, words, capsys):
    assert main(["quality", str(base), str(base), str(base), *words]) == 2
    assert "have one name" in capsys.readouterr().err


def test_a_model_that_is_not_there_is_refused(tmp_path, base, capsys):
    assert main(["quality", str(base), "nowhere", "--data-dir", str(tmp_path)]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_a_verdict_says_which_line_failed():
    assert judged(report(), is_own_evaluation=True).failed == ()
    assert judged(report(right=95), is_own_evaluation=True).failed == ()
    bad = judged(report(top1=0.8, kl=0.5, right=90), is_own_evaluation=True).failed
    assert bad == (
        "mean KL divergence 0.5 is not below 0.004",
        "same most likely token 80.0% is below 95%",
        "the evaluation lost 6.00 points, more than 1",
    )
    assert len(judged(report(top1=0.8, kl=0.5, right=90), is_own_evaluation=False).failed) == 2
    assert judged(report("int4", top1=0.9, kl=0.05), is_own_evaluation=False).failed == ()


def test_what_was_measured_is_printed_where_the_report_cannot_be_written(
    tmp_path, capsys, monkeypatch
):
    measured = report()  # by hand: measuring is not what is looked at
    monkeypatch.setattr(
        command, "_measured", lambda _: ([measured], [table.of_report(measured)], [[0.0]])
    )
    (tmp_path / "file").touch()
    words = ["base", "other", "--out", str(tmp_path / "file"), "--json"]
    assert main(["quality", *words]) == 2
    shown = capsys.readouterr()
    assert json.loads(shown.out.splitlines()[-1])["rows"]
    assert shown.err.splitlines()[-1] == f"error: {tmp_path / 'file'}: File exists"
