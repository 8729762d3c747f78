"""The tensors of a folder, read at any place and never mapped."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.errors import ModelRefusedError, UnstableFileError
from quantize.write import source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_file({"b": torch.arange(6.0).view(2, 3), "a": torch.ones(2)}, tmp_path / "one.safetensors")
    save_file({"c": torch.zeros(4, dtype=torch.bfloat16)}, tmp_path / "two.safetensors")
    index = {"weight_map": {"a": "one.safetensors", "b": "one.safetensors", "c": "two.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    return tmp_path


def test_tensors_come_file_by_file_with_their_places(folder: Path) -> None:
    tensors = {tensor.name: tensor for tensor in source.tensors_of(folder)}
    assert [tensor.file for tensor in tensors.values()] == ["one.safetensors"] * 2 + [
        "two.safetensors"
    ]
    b = tensors["b"]
    assert (b.dtype, b.shape, b.num_bytes) == ("F32", (2, 3), 24)
    data = bytearray(b.num_bytes)
    with source.Files(folder, [b.file]) as files:
        files.read(b.file, b.begin, memoryview(data))
    assert torch.frombuffer(data, dtype=torch.float32).tolist() == [0, 1, 2, 3, 4, 5]


def test_an_index_says_which_files_hold_the_weights(folder: Path) -> None:
    index = {"weight_map": {"c": "two.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert [tensor.name for tensor in source.tensors_of(folder)] == ["c"]


def test_a_file_that_is_no_safetensors_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"12345")
    with pytest.raises(ModelRefusedError, match=r"model\.safetensors"):
        source.tensors_of(tmp_path)


def test_a_file_that_ends_too_early_is_an_error_and_no_zeros(folder: Path) -> None:
    with source.Files(folder, ["one.safetensors"]) as files:
        size = (folder / "one.safetensors").stat().st_size
        with pytest.raises(UnstableFileError, match=r"one\.safetensors became shorter"):
            files.read("one.safetensors", size - 2, memoryview(bytearray(4)))
        files.read("one.safetensors", size, memoryview(bytearray()))


def test_a_file_that_was_written_to_meanwhile_is_found(folder: Path) -> None:
    path = folder / "two.safetensors"
    with source.Files(folder, ["one.safetensors", "two.safetensors"]) as files:
        files.check()
        os.utime(path, ns=(0, 12345))
        with pytest.raises(UnstableFileError, match=r"two\.safetensors was written to"):
            files.check()


def test_links_are_not_followed_and_nothing_stays_open(folder: Path) -> None:
    (folder / "link.safetensors").symlink_to(folder / "one.safetensors")
    with pytest.raises(OSError, match=r"link\.safetensors"):
        source.Files(folder, ["link.safetensors"]).__enter__()
    with source.Files(folder, ["one.safetensors"]) as files:
        pass
    with pytest.raises(KeyError):
        files.read("one.safetensors", 0, memoryview(bytearray(1)))
