"""config.json against the stored tensors: what is stored wins, and what differs is told."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from models.errors import ModelRefusedError
from models.stored_config import settle, stated_dtype

BYTES = {"F32": 4, "BF16": 2, "F16": 2, "I8": 1}
EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"


def write(folder: Path, tensors: dict[str, tuple[str, bytes]], name: str = "model") -> Path:
    """A safetensors file of tensors by name, each a type and its bytes."""
    header, begin = {}, 0
    for tensor, (dtype, data) in tensors.items():
        shape = [len(data) // BYTES[dtype]]
        header[tensor] = {
            "dtype": dtype,
            "shape": shape,
            "data_offsets": [begin, begin + len(data)],
        }
        begin += len(data)
    text = json.dumps(header).encode()
    data = b"".join(data for _, data in tensors.values())
    (folder / f"{name}.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    return folder


@pytest.mark.parametrize(
    ("stated", "stored", "taken", "is_told"),
    [
        ({}, "BF16", "bfloat16", False),
        ({"dtype": None}, "F16", "float16", False),
        ({"torch_dtype": "float32"}, "BF16", "bfloat16", True),
        ({"dtype": "float16"}, "BF16", "bfloat16", True),
        ({"dtype": "bfloat16"}, "F16", "float16", True),
        ({"dtype": "bfloat16"}, "F32", "bfloat16", False),  # narrower, as its makers run it
        ({"dtype": "torch.bfloat16"}, "BF16", "bfloat16", False),
        ({"dtype": "float7"}, "F32", "float32", False),
        ({"dtype": 16}, "BF16", "bfloat16", False),
    ],
    ids=str,
)
def test_the_type_of_the_numbers(
    tmp_path: Path, stated: dict[str, Any], stored: str, taken: str, is_told: bool
) -> None:
    settled = settle(write(tmp_path, {"a.weight": (stored, bytes(64))}), stated)
    assert stated_dtype(settled.config) == taken
    assert bool(settled.differences) == is_told
    for difference in settled.differences:
        assert taken in difference
        assert f"--dtype {stated_dtype(stated)}" in difference


def test_the_type_of_most_bytes_counts_and_not_that_of_scales_and_integers(tmp_path: Path) -> None:
    tensors = {
        "norm.weight": ("F32", bytes(16)),
        "a.weight": ("BF16", bytes(256)),
        "a.weight_scale": ("F32", bytes(4096)),
        "b.weight": ("I8", bytes(4096)),
    }
    config = {"quantization_config": {}}
    assert stated_dtype(settle(write(tmp_path, tensors), config).config) == "bfloat16"


def test_the_language_models_part_is_corrected_too(tmp_path: Path) -> None:
    config = {"torch_dtype": "float32", "text_config": {"torch_dtype": "float32", "x": 1}}
    settled = settle(write(tmp_path, {"a.weight": ("BF16", bytes(64))}), config).config
    assert settled["text_config"] == {"x": 1, "dtype": "bfloat16"}
    assert config["text_config"] == {"torch_dtype": "float32", "x": 1}, (
        "the argument is not changed"
    )


def test_a_head_of_its_own_is_the_models_head(tmp_path: Path) -> None:
    tensors = {EMBEDDING: ("BF16", b"abcd" * 9), HEAD: ("BF16", b"abce" * 9)}
    settled = settle(write(tmp_path, tensors), {"tie_word_embeddings": True, "dtype": "bfloat16"})
    assert settled.config["tie_word_embeddings"] is False
    (difference,) = settled.differences
    assert "head of its own" in difference


def test_a_head_that_differs_in_its_last_byte_alone(tmp_path: Path) -> None:
    size = (1 << 22) + 2  # more than one piece of the comparison
    write(tmp_path, {EMBEDDING: ("BF16", bytes(size)), HEAD: ("BF16", bytes(size - 1) + b"\1")})
    assert settle(tmp_path, {"tie_word_embeddings": True}).config["tie_word_embeddings"] is False


@pytest.mark.parametrize("prefix", ["", "language_model."])
def test_a_copy_of_the_embedding_stays_tied(tmp_path: Path, prefix: str) -> None:
    tensors = {prefix + EMBEDDING: ("F32", b"abcd" * 9), prefix + HEAD: ("F32", b"abcd" * 9)}
    settled = settle(write(tmp_path, tensors), {"tie_word_embeddings": True, "dtype": "float32"})
    assert settled.config == {"tie_word_embeddings": True, "dtype": "float32"}
    assert not settled.differences


def test_an_embedding_that_is_quantised_is_not_the_full_head(tmp_path: Path) -> None:
    tensors = {f"{EMBEDDING}_packed": ("I8", bytes(8)), HEAD: ("F32", bytes(8))}
    config = {"tie_word_embeddings": True, "quantization_config": {}}
    settled = settle(write(tmp_path, tensors), config)
    assert settled.config["tie_word_embeddings"] is False


def test_a_head_where_config_json_does_not_say(tmp_path: Path) -> None:
    tensors = {EMBEDDING: ("F32", b"abcd"), HEAD: ("F32", b"abce")}
    settled = settle(write(tmp_path, tensors), {"dtype": "float32"})
    assert settled.config["tie_word_embeddings"] is False
    assert not settled.differences


def test_only_the_indexs_files_count(tmp_path: Path) -> None:
    write(tmp_path, {"a.weight": ("BF16", bytes(64))}, "one")
    write(tmp_path, {"b.weight": ("F32", bytes(6400))}, "left-over")
    index = {"weight_map": {"a.weight": "one.safetensors", "c.weight": "not-here.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert stated_dtype(settle(tmp_path, {}).config) == "bfloat16"


def test_a_folder_without_weights_says_nothing(tmp_path: Path) -> None:
    assert settle(tmp_path, {"dtype": "float32"}).config == {"dtype": "float32"}


def test_files_that_are_damaged_are_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 32)
    with pytest.raises(ModelRefusedError, match=f"{tmp_path.name}/model.safetensors"):
        settle(tmp_path, {})
    (tmp_path / "model.safetensors.index.json").write_text("[")
    with pytest.raises(ModelRefusedError, match=r"index\.json"):
        settle(tmp_path, {})


def test_a_folder_in_place_of_the_weights_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(ModelRefusedError, match=r"model\.safetensors cannot be read: .* a folder"):
        settle(tmp_path, {})


@pytest.mark.parametrize("part", [{}, {"text_config": {"tie_word_embeddings": True}}], ids=str)
def test_a_tie_of_the_language_models_part_is_told_too(
    tmp_path: Path, part: dict[str, Any]
) -> None:
    tensors = {EMBEDDING: ("F32", b"abcd"), HEAD: ("F32", b"abce")}
    settled = settle(write(tmp_path, tensors), {"dtype": "float32", **part})
    assert settled.config["tie_word_embeddings"] is False
    assert bool(settled.differences) == bool(part)


def test_a_tie_of_null_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    assert settle(tmp_path, {"tie_word_embeddings": None}).config == {}


@pytest.mark.parametrize("nothing", [{}, None], ids=str)
def test_a_part_that_says_nothing_is_as_if_it_were_not_there(tmp_path: Path, nothing: Any) -> None:
    assert settle(tmp_path, {"text_config": nothing, "vocab_size": 3}).config == {"vocab_size": 3}


def test_a_quantised_head_of_its_own_is_the_models_head(tmp_path: Path) -> None:
    config = {"quantization_config": {}, "tie_word_embeddings": True}
    tensors = {"embed_tokens.weight_packed": ("I8", b"ab"), "lm_head.weight_packed": ("I8", b"ab")}
    assert not settle(write(tmp_path, tensors), config).differences
    tensors["lm_head.weight_packed"] = ("I8", b"ax")
    settled = settle(write(tmp_path, tensors), config)
    assert settled.config["tie_word_embeddings"] is False
    assert settled.differences


@pytest.mark.parametrize("name", ["a.weight", "a.weight_packed", "a.qweight"])
def test_quantised_weights_that_config_json_does_not_declare(tmp_path: Path, name: str) -> None:
    write(tmp_path, {name: ("I8", b"ab"), "b.attn.bias": ("I8", b"m")})
    with pytest.raises(ModelRefusedError, match=f"{name} is stored quantised, as I8, and config"):
        settle(tmp_path, {"quantization_config": None})
    for declared in ({"compression_config": {}}, {"text_config": {"quantization_config": {}}}):
        assert settle(tmp_path, declared).config == declared


def test_whole_numbers_that_are_no_weights_need_no_declaration(tmp_path: Path) -> None:
    assert settle(write(tmp_path, {"h.0.attn.bias": ("I8", b"m")}), {}).config == {}


def test_a_value_that_cannot_be_computed_with_is_refused_by_the_folders_name(
    tmp_path: Path,
) -> None:
    with pytest.raises(ModelRefusedError, match=f"^{tmp_path.name}: rope_theta is 0 in its .*anew"):
        settle(tmp_path, {"rope_theta": 0})


def test_what_was_read_is_handed_on(tmp_path: Path) -> None:
    tensors = settle(write(tmp_path, {"a.weight": ("F32", b"abcd")}), {}).tensors
    assert list(tensors) == ["a.weight"]
