"""The command that calibrates by llmcompressor, with something in that library's place."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from models import store
from models.memory import host_memory
from models.refs import Artifact, QuantScheme
from models.trust.manifest import QUANTISED_FROM, Manifest
from models.trust.verify import verify
from quantize.calibrate import __main__ as command
from quantize.calibrate.texts import Render
from quantize.errors import OptionError, QuantizeError
from quantize.plan.planning import PROCESS_BYTES
from quantize.plan.tables import Width
from tests.quantized_models import write_quantized
from tests.tiny_models import write_tiny_model


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("full") / "tiny"
    return store.load_folder(write_tiny_model(folder, dtype="bfloat16"), name="tiny")


def options(**changes: Any) -> Namespace:
    return Namespace(**{"scheme": "int4", "method": "gptq", "tp": 1, "ignore": None} | changes)


def test_without_the_environment_the_command_says_where_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["demo", "--scheme", "int4", "--data-dir", str(tmp_path)]
    assert command.main([*given, "--dry-run"]) == 0
    assert "gptq" in capsys.readouterr().out
    monkeypatch.setattr(command.llm_compressor, "is_here", lambda: False)
    assert command.main(given) == 2
    assert "make calibrate-env" in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


def test_awq_is_for_int4(full: Artifact) -> None:
    with pytest.raises(OptionError, match="awq is for int4, not for int8"):
        command.plan_of(full, options(method="awq", scheme="int8"))
    assert issubclass(OptionError, QuantizeError)


class Tokenizer:
    """In place of the model's own: a token for each byte."""

    def __init__(self, folder: Path) -> None:
        del folder

    @property
    def render(self) -> Render:
        return lambda messages, tools: str(messages)

    def tokens(self, parts: tuple[str, ...]) -> list[int]:
        return [*"".join(parts).encode()]


def calibrate(folder: Path, into: Path, *, plan: Any, samples: Any, on_layer: Any) -> None:
    """In place of llmcompressor: plain rounding, written as it writes."""
    del samples
    group = plan.form.group_size
    more = {"group_size": group, "is_symmetric": True, "sensitive": None}
    more |= {"head": Width.FULL, "embeddings": Width.FULL}
    made = write_quantized(folder, into.parent / "own", QuantScheme.INT4, **more)
    into.mkdir()
    for name in ("model.safetensors", "config.json"):
        (made / name).rename(into / name)
    on_layer(1)


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(command.llm_compressor, "is_here", lambda: True)
    monkeypatch.setattr(command.llm_compressor, "versions", lambda: {"llmcompressor": "0.0"})
    monkeypatch.setattr(command.llm_compressor, "Reader", Tokenizer)
    monkeypatch.setattr(command.llm_compressor, "calibrate", calibrate)
    return monkeypatch


@pytest.fixture
def words(full: Artifact, tmp_path: Path) -> list[str]:
    (tmp_path / "text.txt").write_text("a text of some length\n" * 10)
    words = [str(full.path), "--scheme", "int4", "--text", str(tmp_path / "text.txt")]
    return [*words, "--length", "16", "--samples", "4", "--data-dir", str(tmp_path), "--json"]


def last(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_it_is_made_with_its_recipe_and_present_the_next_time(
    words: list[str], full: Artifact, tmp_path: Path, library: Any, capsys: Any
) -> None:
    assert command.main(words) == 0
    assert last(capsys)["outcome"] == "made"
    path = tmp_path / "models" / "tiny--int4"
    assert verify(path).is_ok
    tools = Manifest.read(path).tools
    assert tools[QUANTISED_FROM] == Manifest.build(full.path).digest
    scheme, method, _, number, _, length, _ = tools["quantise"].split()
    assert (scheme, method, number, length) == ("int4/2", "gptq", "4", "16")
    assert tools["llmcompressor"] == "0.0"
    assert command.main(words) == 0
    assert last(capsys)["outcome"] == "present"


def test_too_little_memory_is_said_before_anything_is_written(
    words: list[str], tmp_path: Path, library: Any, capsys: Any
) -> None:
    library.setattr(host_memory, "available_bytes", lambda: 10**6)
    assert command.main(words) == 2
    error = last(capsys)
    assert (error["event"], error["kind"]) == ("error", "QuantizeError")
    assert "are needed, 1.0 MB are free" in error["message"]
    assert not (tmp_path / "models").exists()


def test_an_interrupted_run_leaves_nothing(
    words: list[str], tmp_path: Path, library: Any, capsys: Any
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    library.setattr(command.llm_compressor, "calibrate", stop)
    assert command.main(words) == 130
    assert "nothing was made" in capsys.readouterr().err
    assert not (tmp_path / "models" / "tiny--int4").exists()


def test_memory_is_that_of_both_models_and_one_layers_sums(full: Artifact) -> None:
    plan = command.plan_of(full, options())
    first = [linear for linear in plan.layers if ".layers.0." in linear.name]
    assert len(first) == 7
    sums = sum(4 * linear.num_in**2 for linear in first)
    assert plan.peak_memory_bytes - PROCESS_BYTES == (
        plan.source_bytes + plan.output_bytes + 2 * sums
    )


def test_the_largest_group_that_serves_as_many_weights_is_taken(full: Artifact) -> None:
    assert command.plan_of(full, options()).form.group_size == 128
    shared = command.plan_of(full, options(tp=4))  # 32 columns of o_proj for each device
    assert shared.form.group_size == 32
