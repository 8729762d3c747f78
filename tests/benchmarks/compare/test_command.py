"""Real systems, started, measured and ended; what is not here is left out with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.compare import command
from benchmarks.compare.registry import known
from tests.benchmarks.documents import printed_report

pytestmark = pytest.mark.usefixtures("_quick_limits")


SMALL = ["--prefill", "16", "--decode", "2", "--context", "8", "--tokens", "64", "--repeats", "3"]


def test_systems_of_this_process(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", str(tiny), "--only", "transformers", "llama", "--dtype", "float32"]
    assert main([*words, *SMALL, "--out", str(tmp_path / "out")]) == 0
    report = printed_report(capsys)
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
        # One of every round, but that a busy machine may bring tokens with no time between them.
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


def test_two_models_of_one_name_would_be_one_in_the_charts() -> None:
    command._check_names(["demo", "other"])
    with pytest.raises(ValueError, match="2 models are called demo"):
        command._check_names(["demo", "other", "demo"])


@pytest.mark.parametrize(("number", "share"), [(1, 0.92), (4, 0.23), (7, 0.13)])
def test_all_systems_together_take_what_one_would_of_a_gpu(number: int, share: float) -> None:
    assert command._share_of(known()[:1] * number) == share
