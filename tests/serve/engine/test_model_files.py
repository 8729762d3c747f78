"""What is read of a model folder before its weights: ids, names, headers, and what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from serve.engine import model_files
from serve.errors import StartupError
from tests.serve.engine.checkpoints import refuse


def test_only_safetensors(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refuse(folder, "safetensors only")


def test_a_truncated_file(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    for size in (0, 5, 100, len(whole) - 1):
        (folder / "model.safetensors").write_bytes(whole[:size])
        refuse(folder, "cut short")


def put(folder: Path, name: str, **tensors: torch.Tensor) -> None:
    save_file(tensors, folder / name)


def test_headers_give_bytes_numbers_and_types_of_all_files_in_the_index(tmp_path: Path) -> None:
    put(tmp_path, "a.safetensors", one=torch.zeros(3, 4), two=torch.zeros(5).bfloat16())
    put(tmp_path, "b.safetensors", three=torch.zeros(7, dtype=torch.int8))
    put(tmp_path, "stray.safetensors", four=torch.zeros(9))  # no part of the model
    names = {"one": "a.safetensors", "two": "a.safetensors", "three": "b.safetensors"}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": names}))
    files = model_files.read(tmp_path, {"quantization_config": {}}).files
    assert files.names == ("a.safetensors", "b.safetensors")
    found = {name: (entry.dtype, entry.num_bytes) for name, entry in files.tensors.items()}
    assert found == {"one": ("F32", 48), "two": ("BF16", 10), "three": ("I8", 7)}
    assert files.total_bytes == 65


def test_a_file_of_the_index_that_is_missing_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    put(folder, "a.safetensors", one=torch.zeros(1))
    names = {"one": "a.safetensors", "two": "b.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    with pytest.raises(StartupError, match=r"^model: b\.safetensors is missing"):
        model_files.read(folder, {})


@pytest.mark.parametrize("text", ["", "[1]", "{", "null", "\xff"])
def test_what_is_no_object_is_as_if_it_were_not_there(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_bytes(text.encode("latin-1"))
    assert model_files.read_json(tmp_path / "x.json") is None
    assert model_files.read_json(tmp_path / "absent.json") is None


def test_differences_between_config_and_weights_are_told(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    embedding = load_file(folder / "model.safetensors")["model.embed_tokens.weight"]
    model_files.read(folder).tell_differences()
    assert not caplog.records
    put(folder, "head.safetensors", **{"lm_head.weight": embedding.flip(0).contiguous()})
    weight_map = {"lm_head.weight": "head.safetensors", "rest": "model.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    model_files.read(folder).tell_differences()
    (record,) = caplog.records
    assert "head of its own" in record.reason  # type: ignore[attr-defined]


def test_damaged_weights_are_a_refusal(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\xff" * 16)
    with pytest.raises(StartupError, match=r"model\.safetensors"):
        model_files.read(folder, {})


def test_what_contradicts_itself_is_a_refusal(folder: Path) -> None:
    with pytest.raises(StartupError, match=r"^copy: rope_theta is 0 .*Correct config\.json"):
        model_files.read(folder, {"rope_theta": 0})


def test_no_config_is_no_model_folder(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"no readable config\.json"):
        model_files.read(tmp_path)
