"""Quantised checkpoints that the transformers engine refuses, rather than to answer wrongly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from serve.engine.transformers.loader import compressed_loading
from serve.engine.transformers.loader.stored_scheme import promise_of
from tests.serve.engine.checkpoints import WEIGHTS, edit, put, quantization, refuse

UP = "model.layers.0.mlp.up_proj"
Q = "model.layers.0.self_attn.q_proj"
TABLE = "model.embed_tokens"


# What was promised and is not there


@pytest.mark.parametrize(
    ("width", "match"),
    [
        (("in_features", 256), r"2 layers differ, first .*down_proj is bfloat16, not int8"),
        (("out_features", 512), r"4 layers differ, first .*gate_proj is bfloat16, not int8"),
    ],
    ids=["a layer", "layers that are one"],
)
def test_layers_that_are_not_what_was_promised_end_the_start(
    int8: Path, monkeypatch: pytest.MonkeyPatch, width: tuple[str, int], match: str
) -> None:
    real = compressed_loading._layer

    def decompressing(*arguments: Any) -> Any:
        layer = real(*arguments)
        if getattr(layer, width[0]) != width[1]:
            return layer
        return torch.nn.Linear(layer.in_features, layer.out_features, bias=False).bfloat16()

    monkeypatch.setattr(compressed_loading, "_layer", decompressing)
    refuse(int8, rf"not what config.json says \(int8\): {match}")


def test_a_quantised_layer_that_should_be_plain(int8: Path) -> None:
    edit(int8, quantization_config=quantization(int8) | {"ignore": [Q]})
    refuse(int8, "q_proj is int8, not as stored")
    edit(int8, quantization_config=quantization(int8) | {"ignore": ["re:.*embed"]})
    refuse(int8, "1 layers differ, first model.embed_tokens is quantised, not as stored")


def test_a_layer_of_other_bits_than_promised(int4: Path) -> None:
    table = quantization(int4)
    del table["config_groups"]["group_1"]  # q, k and v of 8 bits
    edit(int4, quantization_config=table)
    refuse(int4, r"q_proj.weight_packed is torch.int32 of .128, 32., not torch.int32 of .128, 16.")


def test_layers_that_no_group_names(int8: Path) -> None:
    for targets, first in ((["re:.*mlp.*"], "self_attn.q_proj"), ([r"re:.*\d.*"], "lm_head")):
        table = quantization(int8)
        groups = table["config_groups"]
        groups["group_0"]["targets"] = targets
        groups["group_1"]["targets"] = ["re:.*embed_tokens$"]
        edit(int8, quantization_config=table)
        refuse(int8, f"{first} is stored quantised, and config.json does not say how")


def test_a_promise_that_no_layer_keeps(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders["none"], tmp_path / "copy"))
    edit(folder, quantization_config=quantization(folders["int8"]))
    refuse(folder, "layers differ, first .*q_proj is bfloat16, not int8")
    edit(folder, quantization_config=quantization(folders["int8"]) | {"ignore": ["re:.*"]})
    refuse(folder, "no layer is quantised")


def test_an_embedding_that_is_not_quantised(int8: Path) -> None:
    parts = {f"{TABLE}.{part}": None for part in ("weight_packed", "weight_scale", "weight_shape")}
    put(int8, parts | {f"{TABLE}.weight": torch.randn(1024, 128).bfloat16()})
    refuse(int8, "1 layers differ, first model.embed_tokens is bfloat16, not quantised")


def test_a_head_that_is_tied_to_a_quantised_embedding(int8: Path) -> None:
    parts = ("weight_packed", "weight_scale", "weight_shape")
    put(int8, {f"lm_head.{part}": None for part in parts})
    refuse(int8, "1 weights are missing, lm_head.weight")
    edit(int8, tie_word_embeddings=True)
    refuse(int8, "its embedding is stored quantised and its output head is not stored")


# Parts that are broken


def words(*shape: int) -> torch.Tensor:
    return torch.zeros(*shape, dtype=torch.int32)


@pytest.mark.parametrize(
    ("part", "other", "match"),
    [
        ("weight_packed", None, f"missing, {UP}.weight_packed"),
        ("weight_packed", words(9, 16), r"up_proj.weight_packed is torch.int32 of \[9, 16\], not"),
        ("weight_packed", words(256, 32), r"of \[256, 32\], not torch.int32 of \[256, 16\]"),
        ("weight_packed", words(256, 16).long(), r"is torch.int64 of .* not torch.int32 of"),
        ("weight_scale", torch.ones(256), r"weight_scale is .* of \[256\], not .* of \[256, 4\]"),
        ("weight_scale", torch.ones(256, 2), r"of \[256, 2\], not .* of \[256, 4\] as config.json"),
        ("weight_scale", words(256, 4), "weight_scale is torch.int32 of"),
        ("weight_zero_point", None, f"missing, {UP}.weight_zero_point"),
        ("weight_zero_point", words(256, 4), r"of \[256, 4\], not torch.int32 of \[32, 4\]"),
        ("weight_zero_point", words(32, 4).char(), "weight_zero_point is torch.int8 of"),
        ("g_idx", torch.zeros(3), f"1 weights have no place .* {UP}.g_idx"),
        ("weight_scale", None, f"missing, {UP}.weight,"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_parts_that_are_broken_are_named(
    int4: Path, part: str, other: torch.Tensor | None, match: str
) -> None:
    put(int4, {f"{UP}.{part}": other})
    refuse(int4, match)


def test_weights_in_bytes_that_are_broken_are_named(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(folders["int8-w8a8"], tmp_path / "copy"))
    whole = load_file(folder / WEIGHTS)

    def refused(match: str, **changes: torch.Tensor | None) -> None:
        put(folder, whole | {f"{UP}.{part}": tensor for part, tensor in changes.items()})
        refuse(folder, match)

    refused("missing, .*up_proj.weight", weight=None)
    refused("up_proj.weight is torch.int8 of .*, not torch.int8", weight=torch.zeros(9, 128).char())
    refused("up_proj.weight is torch.float32", weight=torch.zeros(256, 128))
    refused("layers differ, first .*up_proj is bfloat16", weight_scale=None)


# What config.json says that it would get wrong


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"weights": {"num_bits": 8, "type": "float"}}, "in a way that it does not know"),
        ({"targets": None}, "it names layers by None, which is no list"),
        ({"targets": "Linear"}, "it names layers by Linear, which is no list"),
        ({"targets": ["re:("]}, "it names layers by re:., which is no regular expression"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_groups_that_it_would_get_wrong(int8: Path, changes: dict[str, Any], match: str) -> None:
    table = quantization(int8)
    table["config_groups"]["group_0"] |= changes
    edit(int8, quantization_config=table)
    refuse(int8, match)


@pytest.mark.parametrize(
    "changes",
    [{"dynamic": False}, {"strategy": "tensor"}, {"symmetric": False}, {"num_bits": 4}],
    ids=str,
)
def test_activations_that_it_would_get_wrong(
    folders: dict[str, Path], tmp_path: Path, changes: dict[str, Any]
) -> None:
    folder = Path(shutil.copytree(folders["int8-w8a8"], tmp_path / "copy"))
    table = quantization(folder)
    table["config_groups"]["group_0"]["input_activations"] |= changes
    edit(folder, quantization_config=table)
    refuse(folder, "its activations are not quantised for each token as it comes. Make it anew")


def test_all_of_a_scheme_that_it_has_no_arithmetic_for(int8: Path) -> None:
    table = quantization(int8)
    for group in table["config_groups"].values():
        group["weights"] = {"num_bits": 8, "type": "float"}
    edit(int8, quantization_config=table)
    refuse(int8, "fp8 .*Take --quant int8")


def test_what_is_ignored_has_to_be_a_list_of_names(int8: Path) -> None:
    for ignore in ("lm_head", [3]):
        edit(int8, quantization_config=quantization(int8) | {"ignore": ignore})
        refuse(int8, "which is no list of names. Make it anew")


@pytest.mark.parametrize(
    ("scheme", "changes", "match"),
    [
        ("int8", {"symmetric": False}, "its 8-bit weights have zero points"),
        ("int8", {"actorder": "group"}, "another order of columns"),
        ("int8", {"group_size": 16}, "groups of 16, and the loops take multiples of 32"),
        ("int8", {"group_size": 48}, "groups of 48"),
        ("int8", {"group_size": 0}, "groups of 0"),
        ("int8", {"group_size": None}, "groups of None"),
        ("int8", {"group_size": 96}, "has 128 inputs, which are no whole groups of 96"),
        ("int4", {"strategy": "tensor"}, "a scale for each tensor"),
        ("int4", {"strategy": "tensor_group"}, "a scale for each tensor_group"),
    ],
    ids=str,
)
def test_weights_that_it_would_get_wrong(
    folders: dict[str, Path], tmp_path: Path, scheme: str, changes: dict[str, Any], match: str
) -> None:
    folder = Path(shutil.copytree(folders[scheme], tmp_path / "copy"))
    table = quantization(folder)
    table["config_groups"]["group_0"]["weights"] |= changes
    edit(folder, quantization_config=table)
    refuse(folder, match)


def test_weights_of_4_bits_in_bytes(int4: Path) -> None:
    table = quantization(int4)
    table["config_groups"]["group_0"]["format"] = "int-quantized"
    edit(int4, quantization_config=table)
    refuse(int4, "its 4-bit weights are not packed into words. Make it anew")


def test_names_and_expressions_are_ignored(int8: Path) -> None:
    config = json.loads((int8 / "config.json").read_text())
    config["quantization_config"]["ignore"] = ["lm_head", r"re:.*\.0\."]
    promise = promise_of(int8, config)
    assert promise is not None
    names = ("lm_head", "model.layers.0.a", "model.layers.1.a")
    assert [name for name in names if promise.covers(name)] == ["model.layers.1.a"]


def test_a_name_goes_before_a_class(int4: Path) -> None:
    promise = promise_of(int4, json.loads((int4 / "config.json").read_text()))
    assert promise is not None
    found = [promise.form(name) for name in (Q, UP, "lm_head")]
    assert [(form.bits, form.has_zeros, form.group_size) for form in found if form] == [
        (8, False, 32),
        (4, True, 32),
        (8, False, 128),
    ]
    assert promise.covers_embedding(TABLE)
    assert promise.form(TABLE, is_embedding=True) == promise.form("lm_head")
