"""The engine command measures real engines, scheme after scheme."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from benchmarks import roofline
from benchmarks.__main__ import main
from tests.benchmarks.report.test_document import SCHEMA
from tests.tiny_models import write_tiny_model


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Limits of this machine in a blink, and a cache of our own."""
    monkeypatch.setattr(roofline, "_READ_BYTES", 1 << 20)
    monkeypatch.setattr(roofline, "_MATRIX", 256)
    monkeypatch.setattr(roofline, "_SECONDS", 0.001)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def report_of(capsys: pytest.CaptureFixture[str]) -> dict:
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    jsonschema.validate(report, SCHEMA)
    return report


def test_the_engine_command(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["engine", str(tiny), "--quant", "none", "int8", "--context", "8", "4000"]
    assert (
        main([*words, "--prefill", "16", "--decode", "2", "--tokens", "8", "--repeats", "2"]) == 0
    )
    report = report_of(capsys)
    assert {row["scheme"] for row in report["rows"]} == {"none", "int8"}
    assert {row["model"] for row in report["rows"]} == {"tiny"}
    assert any("2 x 8 after 4000: left out" in note for note in report["notes"])
    weights = {row["scheme"]: row["facts"]["weight_bytes"] for row in report["rows"]}
    assert weights["int8"] < weights["none"]
