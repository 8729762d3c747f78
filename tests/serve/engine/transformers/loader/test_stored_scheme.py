"""What config.json says of a quantised checkpoint, and what the engine would get wrong of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from serve.engine.transformers.loader.stored_scheme import declared_scheme
from tests.serve.engine.checkpoints import edit, quantization, refuse

UP = "model.layers.0.mlp.up_proj"


Q = "model.layers.0.self_attn.q_proj"


TABLE = "model.embed_tokens"


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
    declared = declared_scheme(int8, config)
    assert declared is not None
    names = ("lm_head", "model.layers.0.a", "model.layers.1.a")
    assert [name for name in names if declared.covers(name)] == ["model.layers.1.a"]


def test_a_name_goes_before_a_class(int4: Path) -> None:
    declared = declared_scheme(int4, json.loads((int4 / "config.json").read_text()))
    assert declared is not None
    forms = [declared.form(name) for name in (Q, UP, "lm_head")]
    assert [(form.bits, form.has_zeros, form.group_size) for form in forms if form] == [
        (8, False, 32),
        (4, True, 32),
        (8, False, 128),
    ]
    assert declared.covers_embedding(TABLE)
    assert declared.form(TABLE, is_embedding=True) == declared.form("lm_head")


@pytest.mark.parametrize(
    ("scheme", "changes", "match"),
    [
        ("nf4", {"bnb_4bit_use_double_quant": True}, "scales are quantised too"),
        ("bnb-int8", {"llm_int8_threshold": 6.0}, "outliers would be computed in 16 bits"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_bitsandbytes_would_compute_otherwise(
    folders: dict[str, Path], tmp_path: Path, scheme: str, changes: dict[str, Any], match: str
) -> None:
    folder = Path(shutil.copytree(folders[scheme], tmp_path / "copy"))
    edit(folder, quantization_config=quantization(folder) | changes)
    refuse(folder, f"{match}.*python -m quantize --scheme {scheme}")


def test_modules_that_bitsandbytes_skips_are_ignored_wherever_they_are(
    folders: dict[str, Path],
) -> None:
    config = json.loads((folders["nf4"] / "config.json").read_text())
    table = config["quantization_config"]
    for skipped, ignored in ((["mlp"], {"model.layers.0.mlp.up_proj"}), (None, {"lm_head"})):
        declared = declared_scheme(
            folders["nf4"],
            config | {"quantization_config": table | {"llm_int8_skip_modules": skipped}},
        )
        assert declared is not None
        names = {"lm_head", "model.layers.0.mlp.up_proj", "model.layers.0.mlp2.up_proj"}
        assert {name for name in names if not declared.covers(name)} == ignored
