"""Weights on their way to another device than the host's: torch's meta device stands in for a GPU.

It holds nothing, so that every number which lies in the host's memory is one that was not placed.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models.rules.safetensors_header import TensorEntry
from serve.engine import model_files
from serve.engine.settings import EngineSettings
from serve.engine.transformers.loader import loading, placing
from serve.engine.transformers.loader.placing import placed_on
from tests.tiny_models import ARCHITECTURES, write_tiny_model

META = torch.device("meta")
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2, "tie_word_embeddings": False}


@pytest.fixture
def _own_objects_alone() -> Iterator[None]:
    """The collector looks at what the test makes, and not at all that other tests hold."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def host_bytes() -> int:
    """Bytes of all tensors in the host's memory that were made since the collector was frozen."""
    storages = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in gc.get_objects()
        if isinstance(tensor, torch.Tensor) and tensor.device.type == "cpu"
    }
    return sum(storages.values())


def on_meta(folder: Path, progress: Any = lambda *_: None, **settings: Any) -> Any:
    checkpoint = model_files.read(folder)
    model, _ = loading.load_model(
        checkpoint,
        loading.read_config(checkpoint),
        settings=EngineSettings(**settings),
        device=META,
        progress=progress,
    )
    return model


@pytest.mark.usefixtures("_own_objects_alone")
@pytest.mark.parametrize("architecture", ["qwen2", "gemma2", "mixtral"])
def test_the_host_never_holds_more_than_a_piece_of_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: str
) -> None:
    """Converted on the way, so that no tensor is merely a view of its file."""
    monkeypatch.setitem(ARCHITECTURES, "mixtral", ("MixtralConfig", EXPERTS))
    folder = write_tiny_model(tmp_path / "m", architecture, num_hidden_layers=4)
    tensors = model_files.read(folder).files.tensors
    held: list[int] = []
    model = on_meta(folder, lambda *_: held.append(host_bytes()), dtype="bfloat16")
    assert {parameter.device for parameter in model.parameters()} == {META}
    assert max(held) <= placing.most_bytes_held(tensors, torch.bfloat16.itemsize)
    whole = sum(entry.num_elements for entry in tensors.values()) * torch.bfloat16.itemsize
    assert max(held) < whole / 2


def test_a_tied_head_is_placed_once_and_nothing_is_drawn_anew(folder: Path) -> None:
    """transformers draws random numbers for every weight that does not bear its mark."""
    model = on_meta(folder)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert all(vars(parameter).get("_is_hf_initialized") for parameter in model.parameters())


def test_what_is_there_already_and_what_is_for_a_cpu_stays_as_it_is() -> None:
    with placed_on(META):
        layer = nn.Linear(2, 2)
        weight = layer.weight
        layer.weight = weight
    assert layer.weight is weight
    with placed_on(torch.device("cpu")):
        assert nn.Linear(2, 2).weight.device.type == "cpu"
    assert nn.Linear(2, 2).weight.device.type == "cpu"


def test_experts_of_a_layer_count_together_and_twice() -> None:
    sizes = {"head": 5, "l.0.experts.0.up": 2, "l.0.experts.1.up": 1, "l.1.experts.0.up": 2}
    tensors = {name: TensorEntry("BF16", (size,)) for name, size in sizes.items()}
    assert placing.most_bytes_held(tensors, 4) == 2 * 3 * 4
    assert placing.most_bytes_held({}, 4) == 0
