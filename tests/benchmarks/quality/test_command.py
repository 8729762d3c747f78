"""The whole command on small random models: exit codes, files, and the last line of stdout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import main
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
    assert "every gate of none holds" in out
    assert "text.txt" in out
    found = json.loads(out.splitlines()[-1])
    assert found == json.loads((tmp_path / "reports" / "full.json").read_text())
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
    assert "gate failed: text.txt: mean KL" in shown.err
    assert main(["quality", str(base), str(other), *words, "--gate", "--no-items"]) == 1
    assert sorted(path.name for path in out.iterdir()) == ["other.json", "other.png"]
    found = json.loads((tmp_path / "reports" / "other.json").read_text())
    assert found["quantised"]["evaluation"] is None
    assert any("text.txt: top-1 agreement" in line for line in found["failed"])


def test_nothing_to_measure_on_is_refused(tmp_path, base, capsys):
    words = ["--no-items", "--streams", "--data-dir", str(tmp_path)]
    assert main(["quality", str(base), str(base), *words]) == 2
    assert "nothing to measure on" in capsys.readouterr().err


def test_a_model_that_is_not_there_is_refused(tmp_path, base, capsys):
    assert main(["quality", str(base), "nowhere", "--data-dir", str(tmp_path)]) == 2
    assert "nowhere" in capsys.readouterr().err
