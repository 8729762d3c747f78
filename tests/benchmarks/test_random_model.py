"""A random model has the shape that was asked for, and every token of it is a text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors import safe_open

from benchmarks import random_model, workbench
from models.errors import ModelNotFoundError
from models.memory import shapes
from models.refs import QuantScheme
from models.store import load_folder
from serve.pipeline.tokenizer import ModelTokenizer

SMALL = dict(shapes.published()["qwen2-0.5b"]) | {
    "num_hidden_layers": 2,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 5000,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("random") / "small"
    made.mkdir()
    random_model.write(made, SMALL)
    return made


def test_it_passes_the_rules_and_has_the_shapes_parameters(folder: Path) -> None:
    artifact = load_folder(folder, name="small")
    assert artifact.scheme is QuantScheme.NONE
    with safe_open(folder / "model.safetensors", "pt") as file:
        sizes = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    expected = shapes.read(json.loads((folder / "config.json").read_bytes())).num_parameters
    assert sum(weight.numel() for weight in sizes.values()) == expected
    assert float(sizes["model.layers.0.mlp.up_proj.weight"].float().std()) == pytest.approx(
        0.02, rel=0.05
    )
    assert bool((sizes["model.norm.weight"] == 1).all())
    assert bool((sizes["model.layers.1.self_attn.q_proj.bias"] == 0).all())


def test_every_token_can_be_streamed_as_text(folder: Path) -> None:
    tokenizer = ModelTokenizer.load(folder)
    assert tokenizer.vocab_size == 5000
    made_up = [tokenizer.decode([token_id]) for token_id in range(4200, 5000)]
    assert all(made_up)
    assert len(set(made_up)) == 800


def test_the_same_seed_makes_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    random_model.write(tmp_path, SMALL)
    for path in folder.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_an_unknown_shape_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"qwen2-0\.5b"):
        random_model.make("9000b", tmp_path)


def test_quantised_models_are_made_once(folder: Path, tmp_path: Path) -> None:
    full = load_folder(folder, name="small")
    made = workbench.quantised(full, QuantScheme.INT8, tmp_path)
    stamp = (made.path / "model.safetensors").stat().st_mtime_ns
    again = workbench.quantised(full, QuantScheme.INT8, tmp_path)
    assert (again.path / "model.safetensors").stat().st_mtime_ns == stamp
    assert workbench.quantised(made, QuantScheme.INT8, tmp_path) is made
