"""Real systems, started, measured and ended; what is not here is left out with a reason."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import jsonschema
import pytest

from benchmarks import roofline
from benchmarks.__main__ import main
from benchmarks.compare.llama import running as llama
from benchmarks.compare.processes import Child
from benchmarks.compare.systems import Bench, MissingError, known
from models.memory.host_memory import read_text
from models.refs import QuantScheme
from models.store import demo
from tests.benchmarks.report.test_report import SCHEMA
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


@pytest.mark.parametrize(
    "words",
    [
        ["compare", "demo", "--only", "sglang"],
        ["compare", "random:9000b"],
        ["engine", "no-such-model"],
        ["engine", "demo", "--tokens", "2"],
        ["engine", "demo", "--prefill", "--decode"],
        ["engine", "demo", "--decode", "0"],
    ],
)
def test_what_cannot_be_measured_is_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")


def bench(tmp_path: Path, python: Path | None) -> Bench:
    return Bench(full=demo(), cache_dir=tmp_path, dtype="auto", cases=(), llama_python=python)


@pytest.mark.parametrize("python", [None, Path("/nowhere/python"), Path(sys.executable)])
async def test_without_llama_cpp_it_says_how_to_get_it(python: Path | None, tmp_path: Path) -> None:
    """This interpreter has no gguf either, so it stands for one without what is needed."""
    with pytest.raises(MissingError, match="pip install llama-cpp-python"):
        await llama.start(bench(tmp_path, python), QuantScheme.INT8)
    assert not [name for _, _, names in os.walk(tmp_path) for name in names if "gguf" in name]


async def test_all_that_a_child_started_ends_with_it(tmp_path: Path) -> None:
    program = (
        "import signal, subprocess, sys, time; signal.signal(15, lambda *_: sys.exit());"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        "print(p.pid, flush=True); time.sleep(600)"
    )
    log = tmp_path / "child.log"
    child = Child([sys.executable, "-c", program], log)
    deadline = time.monotonic() + 30
    while not child.last_words() and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    grandchild = int(child.last_words())
    assert child.is_running
    await child.close()
    assert not child.is_running
    while time.monotonic() < deadline:  # its new parent reaps it in its own time
        try:
            os.kill(grandchild, 0)
        except ProcessLookupError:
            return
        if "\nState:\tZ" in read_text(Path(f"/proc/{grandchild}/status")):
            return
        await asyncio.sleep(0.01)
    pytest.fail("the grandchild lives on")


def test_ours_come_first_and_labels_are_unique() -> None:
    labels = [system.label for system in known()]
    assert labels[0] == "intramural transformers"
    assert len(labels) == len(set(labels))
