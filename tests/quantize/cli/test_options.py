"""Options of the command lines, and the quantisation that they ask for."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.refs import Artifact, QuantScheme
from quantize.cli.options import (
    add_shared,
    add_storing,
    add_texts,
    choice_of,
    parser_of,
    quant_options,
    target_of,
    texts_of,
)
from quantize.errors import OptionError, UnsuitableModelError
from quantize.measuring.texts import built_in
from quantize.plan.choices import SENSITIVE, VARIANTS, Choice
from quantize.plan.tables import Width
from quantize.protocol import Method


def parsed(*words: str) -> argparse.Namespace:
    parser = parser_of("quantize", "what", "examples")
    add_storing(parser)
    parser.add_argument("--calibrate")
    add_shared(parser)
    return parser.parse_args(["m", *words])


def asked(*words: str) -> object:
    options = parsed(*words)
    return quant_options(options, Choice.parse(options.scheme))


def test_without_options_everything_is_the_schemes_own() -> None:
    options = asked("--scheme", "int4")
    assert (options.scheme, options.method, options.group_size) == (QuantScheme.INT4, None, 32)
    assert (options.head, options.embeddings) == (None, None)
    assert (options.sensitive, options.is_symmetric) == (SENSITIVE, False)


def test_options_are_taken_over() -> None:
    words = ["--method", "rtn", "--group-size", "64", "--tp", "2", "--ignore", "x", "--symmetric"]
    options = asked("--scheme", "int4", *words, "--lm-head", "full", "--embeddings", "4")
    assert (options.method, options.group_size, options.tensor_parallel) == (Method.RTN, 64, 2)
    assert (options.ignore, options.is_symmetric) == ("x", True)
    assert (options.head, options.embeddings) == (Width.FULL, Width.FOUR)


def test_a_head_without_a_number_has_8_bits() -> None:
    assert asked("--scheme", "int8-w8a8", "--lm-head").head is Width.EIGHT


def test_a_variant_is_a_scheme_with_its_sensitive_layers_unless_they_are_named() -> None:
    assert asked("--scheme", "int4-down").sensitive == VARIANTS["down"]
    assert asked("--scheme", "int4-down", "--sensitive", "k_proj").sensitive == "k_proj"
    assert asked("--scheme", "int4", "--sensitive", "").sensitive == ""


def test_calibrating_is_a_method_of_its_own_for_two_schemes() -> None:
    assert asked("--scheme", "int8", "--calibrate", "self").method is Method.GPTQ
    with pytest.raises(OptionError, match="leave --method out"):
        asked("--scheme", "int8", "--calibrate", "self", "--method", "rtn")
    with pytest.raises(OptionError, match="for int8 and int4, not for fp8"):
        asked("--scheme", "fp8", "--calibrate", "self")


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "x", ""])
def test_devices_are_a_whole_number_above_0(text: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        parsed("--scheme", "int8", "--tp", text)
    assert f"{text!r} is no whole number above 0" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["int5", "auto:", "auto:0GB"])
def test_a_scheme_that_is_none_is_argparses_error(text: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        parsed("--scheme", text)
    assert "argument --scheme" in capsys.readouterr().err


def test_the_texts_are_ours_where_no_file_is_named(tmp_path: Path) -> None:
    parser = parser_of("quantize", "what", "examples")
    add_texts(parser, "--measure-text")
    assert texts_of(parser.parse_args([]).measure_text) == built_in()
    words = []
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
        words += ["--measure-text", str(tmp_path / name)]
    named = texts_of(parser.parse_args(words).measure_text)
    assert [text.name for text in named] == ["a.txt", "b.txt"]


def test_options_are_not_guessed_from_their_beginning() -> None:
    with pytest.raises(SystemExit):
        parsed("--scheme", "int8", "--group", "64")


@pytest.fixture
def full(tmp_path: Path) -> Artifact:
    folder = tmp_path / "models" / "m"
    folder.mkdir(parents=True)
    names = ("up_proj", "down_proj")
    weights = {
        f"model.layers.0.mlp.{name}.weight": torch.zeros(64, 64).bfloat16() for name in names
    }
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "qwen2"}')
    return Artifact(name="m", path=folder)


def test_the_result_lies_in_the_store_under_a_name_of_its_own(
    full: Artifact, tmp_path: Path
) -> None:
    options = parsed("--scheme", "int4-down", "--data-dir", str(tmp_path))
    target = target_of(options, full, Choice.parse("int4-down"))
    assert target == tmp_path / "models" / "m--int4-down"


def test_the_result_may_lie_anywhere_but_in_the_model(full: Artifact, tmp_path: Path) -> None:
    for inside in (full.path, full.path / "sub"):
        options = parsed("--scheme", "int8", "--out", str(inside))
        with pytest.raises(OptionError, match="lies in the model itself"):
            target_of(options, full, Choice.parse("int8"))
    beside = parsed("--scheme", "int8", "--out", str(tmp_path / "models" / "m2"))
    assert target_of(beside, full, Choice.parse("int8")) == tmp_path / "models" / "m2"


@pytest.mark.parametrize(
    ("budget", "choice"),
    [("16384B", "none"), ("16383B", "int8"), ("8735B", "int4-down"), ("6751B", "int4")],
)
def test_a_budget_is_counted_in_bytes_of_weights(full: Artifact, budget: str, choice: str) -> None:
    assert str(choice_of(parsed("--scheme", f"auto:{budget}"), full)) == choice


def test_a_budget_takes_from_what_is_named_and_in_that_order(full: Artifact) -> None:
    options = parsed("--scheme", "auto:1MB", "--among", "int4", "none")
    assert str(choice_of(options, full)) == "int4"
    with pytest.raises(OptionError, match="'int5' is no way to store weights"):
        choice_of(parsed("--scheme", "auto:1MB", "--among", "int5"), full)


@pytest.mark.parametrize("words", [["--method", "rtn"], ["--sensitive", "x"]])
def test_a_budget_chooses_itself(full: Artifact, words: list[str]) -> None:
    with pytest.raises(OptionError, match="leave --sensitive and --method out"):
        choice_of(parsed("--scheme", "auto:1MB", *words), full)


def test_a_quantised_model_is_refused_before_a_budget_is_counted(full: Artifact) -> None:
    (full.path / "config.json").write_text('{"quantization_config": {}}')
    with pytest.raises(UnsuitableModelError, match="already"):
        choice_of(parsed("--scheme", "auto:1MB"), full)


def test_a_link_is_no_folder_for_the_result(tmp_path: Path) -> None:
    full = Artifact(name="m", path=tmp_path / "m", scheme=QuantScheme.NONE)
    (tmp_path / "out").symlink_to("nowhere")
    options = parsed("--scheme", "int8", "--out", str(tmp_path / "out"))
    with pytest.raises(OptionError, match=r"out is a link\. Name the folder that it leads to"):
        target_of(options, full, Choice(scheme=QuantScheme.INT8))
