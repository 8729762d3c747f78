"""Real systems, started, measured and ended; what is not here is left out with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from benchmarks import roofline
from benchmarks.__main__ import main
from tests.benchmarks.report.test_document import SCHEMA
from tests.tiny_models import write_tiny_model

SMALL = ["--prefill", "16", "--decode", "2", "--context", "8", "--tokens", "8", "--repeats", "3"]


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


def test_systems_of_this_process(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", str(tiny), "--only", "transformers", "llama", "--dtype", "float32"]
    assert main([*words, *SMALL, "--out", str(tmp_path / "out")]) == 0
    report = report_of(capsys)
    systems = {(row["system"], row["scheme"]) for row in report["rows"]}
    assert systems == {
        *(("intramural transformers", scheme) for scheme in ("none", "int8", "int4")),
        ("transformers batching", "none"),
        ("transformers generate", "none"),
    }
    for row in report["rows"]:
        figures = {"mfu", "prefill_tokens_s"} if "prefill" in row["case"] else {"decode_tokens_s"}
        assert figures <= set(row["samples"])
        assert all(value > 0 for value in row["medians"].values())
        # One of every round, but that a busy machine may bring 8 tokens with no time between them.
        assert max(len(samples) for samples in row["samples"].values()) == 3
    against = {ratio["against"] for ratio in report["ratios"]}
    assert against == {"transformers batching", "transformers generate"}
    assert [note for note in report["notes"] if "--llama-cpp-python" in note]
    assert (tmp_path / "out" / "compare.html").is_file()


@pytest.mark.parametrize(
    "words",
    [
        ["compare", "demo", "--only", "sglang"],
        ["compare", "random:9000b"],
    ],
)
def test_what_cannot_be_measured_is_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")
