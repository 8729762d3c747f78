"""The tensors of a folder by their headers: which files count, places, contents, faults."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from models import weight_headers
from models.errors import ModelRefusedError
from models.weight_headers import StoredTensor
from tests.models.test_stored_config import write


def one(folder: Path, name: str) -> StoredTensor:
    return weight_headers.read(folder)[name]


def test_tensors_have_their_places_in_their_files(tmp_path: Path) -> None:
    write(tmp_path, {"b": ("F32", b"abcd" * 2), "a": ("I8", b"xyz")})
    tensors = weight_headers.read(tmp_path)
    assert list(tensors) == ["b", "a"]
    data = (tmp_path / "model.safetensors").read_bytes()
    for tensor, expected in zip(tensors.values(), (b"abcd" * 2, b"xyz"), strict=True):
        assert b"".join(tensor.pieces()) == expected
        assert data[tensor.begin :].startswith(expected)


def test_what_the_index_does_not_name_is_no_part_of_the_model(tmp_path: Path) -> None:
    for name in ("model", "consolidated", "one"):
        write(tmp_path, {name: ("I8", b"x")}, name)
    (tmp_path / "further.safetensors").mkdir()
    assert list(weight_headers.read(tmp_path)) == ["model"]
    index = {"weight_map": {"one": "one.safetensors", "gone": "gone.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert list(weight_headers.read(tmp_path)) == ["one"]


def test_contents_are_compared_piece_by_piece(tmp_path: Path) -> None:
    size = (1 << 22) + 4  # more than one piece
    parts = {"zero": bytes(size), "same": bytes(size), "last": bytes(size - 1) + b"\1"}
    write(tmp_path, {name: ("F32", data) for name, data in parts.items()})
    assert one(tmp_path, "zero").is_zero()
    assert not one(tmp_path, "last").is_zero()
    assert one(tmp_path, "zero").equals(one(tmp_path, "same"))
    assert not one(tmp_path, "zero").equals(one(tmp_path, "last"))


def test_equal_bytes_of_another_type_are_not_equal(tmp_path: Path) -> None:
    write(tmp_path, {"a": ("F16", bytes(8)), "b": ("BF16", bytes(8))})
    assert not one(tmp_path, "a").equals(one(tmp_path, "b"))


@pytest.mark.parametrize("text", ["[", "[1]", "null"])
def test_an_index_that_is_no_object_is_named_without_its_path(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ModelRefusedError, match=r"index\.json is no readable") as refusal:
        weight_headers.read(tmp_path)
    assert str(tmp_path.parent) not in str(refusal.value)
