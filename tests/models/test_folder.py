from __future__ import annotations

import json
import os

import pytest

from models import folder
from models.errors import ModelNotFoundError, UnknownSchemeError
from models.refs import QuantScheme
from tests.models.folders import safetensors, whole


def group(
    num_bits: int, kind: str, activations: object = None, *, strategy: str = "channel"
) -> dict[str, object]:
    weights = {"num_bits": num_bits, "type": kind, "strategy": strategy}
    return {"weights": weights, "input_activations": activations}


def compressed(*groups: object) -> dict[str, object]:
    numbered = {f"group_{i}": each for i, each in enumerate(groups)}
    return {"quant_method": "compressed-tensors", "config_groups": numbered}


def test_a_whole_folder_lacks_nothing(tmp_path):
    assert folder.missing(whole(tmp_path / "m")) == []


def test_missing_files_are_named(tmp_path):
    assert folder.missing(tmp_path) == [
        "config.json",
        "model.safetensors",
        "a tokenizer (tokenizer.json or tokenizer.model or vocab.json or tekken.json)",
    ]


def test_missing_shards_are_named(tmp_path):
    path = whole(tmp_path / "m")
    shards = {"a": "model-1.safetensors", "b": "model-2.safetensors"}
    (path / folder.INDEX).write_text(json.dumps({"weight_map": shards}))
    (path / "model-1.safetensors").write_bytes(safetensors())
    assert folder.missing(path) == ["model-2.safetensors"]


def test_weights_under_another_name_are_no_weights_and_are_named(tmp_path):
    path = whole(tmp_path / "m")
    (path / "model.safetensors").rename(path / "weights.safetensors")
    (path / "a.safetensors").mkdir()
    (lack,) = folder.missing(path)
    assert lack.startswith("model.safetensors (weights.safetensors is there: rename it, or bring")


def test_only_the_models_own_weights_count(tmp_path):
    path = whole(tmp_path / "m")
    size = folder.weights_bytes(path)
    assert size == (path / "model.safetensors").stat().st_size
    for name in ("consolidated", ".hidden"):
        (path / f"{name}.safetensors").write_bytes(safetensors(5000))
    assert folder.weight_files(path) == ["model.safetensors"]
    assert folder.weights_bytes(path) == size
    assert folder.stray_weights(path) == ["consolidated.safetensors"]
    shards = {"a": "consolidated.safetensors", "b": "not-here.safetensors"}
    (path / folder.INDEX).write_text(json.dumps({"weight_map": shards}))
    assert folder.weight_files(path) == sorted(shards.values())
    assert folder.weights_bytes(path) > 5000
    assert folder.stray_weights(path) == []


def test_size_counts_plain_files(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "c").mkdir()
    assert folder.size_bytes(tmp_path) == 5


@pytest.mark.parametrize(
    ("quant", "scheme"),
    [
        (None, QuantScheme.NONE),
        (compressed(group(8, "int", {"num_bits": 8})), QuantScheme.INT8_W8A8),
        (compressed(group(8, "int", strategy="group")), QuantScheme.INT8),
        (
            compressed(group(4, "int"), group(8, "int", strategy="group")),
            QuantScheme.INT4,
        ),
        (compressed(group(8, "int")), QuantScheme.INT8_WEIGHT_ONLY),
        (compressed(group(4, "int")), QuantScheme.INT4),
        (compressed(group(8, "float", {"num_bits": 8})), QuantScheme.FP8),
        (
            {"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_threshold": 0.0},
            QuantScheme.BNB_INT8,
        ),
        (
            {
                "quant_method": "bitsandbytes",
                "load_in_4bit": True,
                "bnb_4bit_quant_type": "nf4",
            },
            QuantScheme.NF4,
        ),
    ],
)
def test_scheme(tmp_path, quant, scheme):
    assert folder.scheme_of(whole(tmp_path / "m", quantization_config=quant)) is scheme


@pytest.mark.parametrize(
    "quant",
    [
        *({}, [], "int8", {"quant_method": "hqq"}, compressed(), compressed(group(3, "int"))),
        {"quant_method": "compressed-tensors", "config_groups": [1]},
        compressed(group(8, "int"), group(4, "int")),
        compressed("x"),
    ],
)
def test_unknown_scheme_is_refused(tmp_path, quant):
    with pytest.raises(UnknownSchemeError, match="quantization_config"):
        folder.scheme_of(whole(tmp_path / "m", quantization_config=quant))


def test_unreadable_config(tmp_path):
    (tmp_path / "config.json").write_bytes(b"\xff")
    with pytest.raises(ModelNotFoundError):
        folder.scheme_of(tmp_path)


def test_what_is_there_instead_of_a_file_is_named(tmp_path):
    path = whole(tmp_path / "m")
    (path / "config.json").unlink()
    os.mkfifo(path / "config.json")
    assert folder.missing(path) == ["config.json (a pipe is there)"]
    (path / "config.json").unlink()
    (path / "config.json").symlink_to("/dev/zero")
    assert folder.missing(path) == ["config.json (a device is there)"]
