"""Folders that are plainly what config.json describes; all others are for transformers to judge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from models import stored_config
from models.memory.plain_models import is_plain
from models.store import DEMO_WEIGHTS
from tests.tiny_models import ARCHITECTURES, write_tiny_model


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny", num_hidden_layers=1)


def judged(folder: Path, **changes: Any) -> bool:
    config = json.loads((folder / "config.json").read_text()) | changes
    config = {key: value for key, value in config.items() if value != "absent"}
    stored = stored_config.settle(folder, config)
    return is_plain(stored.config, stored.tensors)


def test_the_built_in_model_is_plain() -> None:
    assert judged(DEMO_WEIGHTS)


@pytest.mark.parametrize("architecture", [*ARCHITECTURES])
def test_what_transformers_saved_is_plain(tmp_path: Path, architecture: str) -> None:
    assert judged(write_tiny_model(tmp_path / "m", architecture, num_hidden_layers=1))


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": 256},
        {"intermediate_size": 512},
        {"num_key_value_heads": 4},
        {"num_hidden_layers": 2, "layer_types": None},
        {"vocab_size": 1025},
        {"tie_word_embeddings": False},
        {"model_type": "llama"},
        {"model_type": "qwen3"},
        {"model_type": "nonesuch"},
        {"hidden_act": "foo"},
        {"num_key_value_heads": "absent"},
        {"layer_types": ["full_attention"] * 3},
        {"layer_types": ["linear_attention"]},
        {"rope_parameters": {"rope_type": "foo"}},
        {"pad_token_id": 5000},
        {"attention_dropout": "0"},
        {"max_position_embeddings": True},
        {"of_a_later_release": 1},
    ],
    ids=str,
)
def test_whatever_is_odd_is_not_plain(tiny: Path, changes: dict[str, Any]) -> None:
    assert judged(tiny)
    assert not judged(tiny, **changes)


def test_a_size_of_heads_that_a_family_has_of_its_own_is_not_plain(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "m", "qwen3", num_hidden_layers=1)
    assert judged(folder)
    assert not judged(folder, head_dim="absent")
    assert not judged(folder, head_dim=None)


def test_a_matrix_that_lies_the_other_way_round_is_not_plain(tiny: Path, tmp_path: Path) -> None:
    """Two of them are as many numbers in as many matrices of each shape."""
    tensors = load_file(tiny / "model.safetensors")
    for name in ("up_proj", "down_proj"):
        key = f"model.layers.0.mlp.{name}.weight"
        tensors[key] = tensors[key].T.contiguous()
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes((tiny / "config.json").read_bytes())
    assert not judged(tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("model.norm.weight", "norm.weight"),
        ("model.norm.weight", "model.layers.0.self_attn.k_scale"),
        ("model.layers.0.mlp.up_proj.weight", "model.layers.1.mlp.up_proj.weight"),
    ],
)
def test_other_names_are_not_plain(tiny: Path, tmp_path: Path, old: str, new: str) -> None:
    tensors = load_file(tiny / "model.safetensors")
    tensors[new] = tensors.pop(old)
    save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes((tiny / "config.json").read_bytes())
    assert not judged(tmp_path)
