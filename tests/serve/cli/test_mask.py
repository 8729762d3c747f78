"""`python -m serve mask`: rules tried on a text."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from serve.cli.main import main

TEXT = "ann@example.com, 13800138000"


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    path = tmp_path / "letter.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "masking.toml"
    path.write_text('[default]\nmask = ["email"]\n[tenants.ward]\nblock = ["mobile_phone"]')
    return path


def test_without_rules_every_detector_masks(letter, capsys):
    assert main(["mask", str(letter)]) == 0
    out, err = capsys.readouterr()
    assert out == "[EMAIL], [PHONE]"
    assert "mobile_phone" in err
    assert "13800138000" not in err
    assert main(["mask", str(letter), "--show"]) == 0
    assert "13800138000" in capsys.readouterr().err


def test_a_tenants_rules_as_json(letter, rules, capsys):
    options = ["--masking-file", str(rules), "--json"]
    assert main(["mask", str(letter), *options, "--tenant", "ward"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["blocked_by"] == "mobile_phone"
    assert document["text"] == "[EMAIL], [PHONE]"
    assert [hit["rule"] for hit in document["hits"]] == ["email", "mobile_phone"]
    assert "value" not in document["hits"][0]
    assert main(["mask", str(letter), *options]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "[EMAIL], 13800138000"


def test_a_text_from_stdin(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode())))
    assert main(["mask", "-"]) == 0
    assert capsys.readouterr().out == "[EMAIL], [PHONE]"


def test_the_speed_is_measured(letter, capsys, monkeypatch):
    monkeypatch.setattr("serve.cli.mask.BENCH_BYTES", 10_000)
    assert main(["mask", str(letter), "--bench"]) == 0
    assert "MB/s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["none.txt"], "none.txt"),
        (["-", "--tenant", "a"], "needs a masking file"),
        (["-", "-x"], "x"),
    ],
)
def test_what_cannot_be_done(options, why, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["mask", *options]) == 2
    assert why in capsys.readouterr().err
