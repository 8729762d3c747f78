"""The engine command measures real engines, scheme after scheme."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import cases
from benchmarks.__main__ import main
from benchmarks.engine import command
from benchmarks.engine.command import Plan, add_sweep, cases_of, dtype_of
from serve.engine.settings import EngineSettings
from tests.benchmarks.documents import LIMITS, printed_report

pytestmark = pytest.mark.usefixtures("_quick_limits")


def test_the_engine_command(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["engine", str(tiny), "--quant", "none", "int8", "--context", "8", "4000"]
    assert (
        main([*words, "--prefill", "16", "--decode", "2", "--tokens", "8", "--repeats", "2"]) == 0
    )
    report = printed_report(capsys)
    assert {row["scheme"] for row in report["rows"]} == {"none", "int8"}
    assert {row["model"] for row in report["rows"]} == {"tiny"}
    assert any("2 x 8 after 4000: left out" in note for note in report["notes"])
    weights = {row["scheme"]: row["facts"]["weight_bytes"] for row in report["rows"]}
    assert weights["int8"] < weights["none"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no-such-model"], "no-such-model"),
        (["demo", "--tokens", "2"], "--tokens 2: at least 8"),
        (["demo", "--prefill", "--decode"], "nothing to measure"),
        (["demo", "--decode", "0"], "--decode has 0; it takes 1 and more"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["engine", *words])
    assert ended.value.code == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert message in shown


def options(*words: str) -> Namespace:
    parser = ArgumentParser()
    add_sweep(parser)
    return parser.parse_args(words)


def test_every_length_meets_every_batch() -> None:
    wanted = ["--prefill", "4", "8", "--prefill-batch", "1", "2", "--decode", "3", "--context", "5"]
    labels = [case.label for case in cases_of(options(*wanted, "--tokens", "9"))]
    assert labels == [
        *("prefill 1 x 4", "prefill 2 x 4", "prefill 1 x 8", "prefill 2 x 8"),
        "decode 3 x 9 after 5",
    ]


def test_one_kind_alone_may_be_measured() -> None:
    assert [case.phase for case in cases_of(options("--prefill", "--decode", "1"))] == ["decode"]
    assert len(cases_of(options())) == 5


def test_the_fastest_type_is_the_machines_and_others_are_taken_as_given() -> None:
    limits = replace(LIMITS, flops_s_by_dtype={"float32": 1.0, "bfloat16": 9.0})
    assert dtype_of("fastest", limits) == "bfloat16"
    assert dtype_of("float32", limits) == "float32"


@pytest.mark.parametrize(("device", "is_eager"), [("cuda", False), ("cpu", True)])
def test_vllm_goes_without_its_compiler_on_a_cpu_alone(
    device: str, is_eager: bool, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[EngineSettings] = []

    def build(_name: str, _folder: Path, settings: EngineSettings, _progress: object) -> None:
        asked.append(settings)

    monkeypatch.setattr(command, "device", lambda: device)
    monkeypatch.setattr(command, "build", build)
    plan = Plan(engine="vllm", dtype="auto", cases=list(cases.prefills([2], [16])), repeats=1)
    command._engine(tiny, plan)
    assert asked[0].vllm.enforce_eager is is_eager
    assert asked[0].max_num_batched_tokens is None
