"""Tensors of a folder by name, over several files, and files or tensors that are not there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from serve.engine.transformers.loader.stored_tensors import Tensors
from serve.errors import StartupError

FILES = ["first.safetensors", "second.safetensors"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({"a": torch.arange(6.0).view(2, 3), "b": torch.ones(4).half()}, folder / FILES[0])
    save_file({"c": torch.zeros(5, dtype=torch.int8)}, folder / FILES[1])
    return folder


def test_a_tensor_is_found_in_whichever_file_it_is(model: Path) -> None:
    tensors = Tensors(model, FILES)
    assert tensors.names() == {"a", "b", "c"}
    assert "c" in tensors
    assert "d" not in tensors
    assert tensors.read("a").tolist() == [[0, 1, 2], [3, 4, 5]]
    assert tensors.read("c").dtype is torch.int8


def test_the_bytes_that_were_read_are_counted(model: Path) -> None:
    tensors = Tensors(model, FILES)
    assert tensors.done_bytes == 0
    tensors.read("a")
    tensors.read("b")
    assert tensors.done_bytes == 6 * 4 + 4 * 2


def test_a_tensor_that_is_missing_is_named_and_no_path_is(model: Path) -> None:
    tensors = Tensors(model, FILES[:1])
    with pytest.raises(StartupError, match=r"^model: 1 weights are missing, c, which") as refusal:
        tensors.read("c")
    assert str(model.parent) not in str(refusal.value)
    assert tensors.done_bytes == 0


def test_a_file_that_is_missing_or_cut_short_ends_the_start(model: Path) -> None:
    with pytest.raises(StartupError, match=r"^model: the weights cannot be read"):
        Tensors(model, [*FILES, "third.safetensors"])
    whole = (model / FILES[1]).read_bytes()
    for size in (0, 5, len(whole) - 1):
        (model / FILES[1]).write_bytes(whole[:size])
        with pytest.raises(StartupError, match=r"^model: the weights cannot be read"):
            Tensors(model, FILES)
