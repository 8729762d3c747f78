"""The model that config.json describes, against what is stored: before a weight is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from models import stored_config
from models.errors import ModelRefusedError
from quantize import described_model, transformers_config
from quantize.described_model import Names, check, check_folder, empty, is_within
from tests.quantize.models import rewrite
from tests.tiny_models import ARCHITECTURES, write_tiny_model

BIAS = "model.layers.1.self_attn.o_proj.bias"
Stored = dict[str, torch.Tensor]


def settled(folder: Path, **changes: Any) -> tuple[dict[str, Any], Any]:
    config = json.loads((folder / "config.json").read_text()) | changes
    stored = stored_config.settle(folder, config)
    return dict(stored.config), stored.tensors


def compare(folder: Path, **changes: Any) -> list[str]:
    config, tensors = settled(folder, **changes)
    return check(folder, empty(folder, transformers_config.read(folder, config)), tensors)


def refuse(folder: Path, match: str, **changes: Any) -> None:
    with pytest.raises(ModelRefusedError, match=match) as refusal:
        compare(folder, **changes)
    assert str(folder.parent) not in str(refusal.value)


def add(folder: Path, **tensors: torch.Tensor) -> None:
    named = {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    rewrite(folder, lambda stored: stored.update(named))


@pytest.mark.parametrize("architecture", [*ARCHITECTURES])
def test_what_transformers_saved_fits(tmp_path: Path, architecture: str) -> None:
    assert compare(write_tiny_model(tmp_path / "m", architecture, num_hidden_layers=1)) == []


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"hidden_size": 96}, r"embed_tokens\.weight is stored as \[1024, 128\], .*\[1024, 96\]"),
        ({"intermediate_size": 512}, r"down_proj\.weight is stored as \[128, 256\]"),
        ({"num_key_value_heads": 4}, r"k_proj\.bias is stored as \[64\], and .* \[128\]"),
        ({"vocab_size": 2000}, r"\[2000, 128\]\. Correct config\.json, or fetch the model anew"),
        ({"num_hidden_layers": 3, "layer_types": None}, r"^full: 12 weights are missing .*rs\.2\."),
        ({"tie_word_embeddings": False}, r"lm_head\.weight \(config\.json does not tie"),
        (
            {"num_hidden_layers": 1, "layer_types": ["full_attention"]},
            r"layers\.1\.input_layernorm\.weight is stored, and .* num_hidden_layers 1\)",
        ),
    ],
    ids=str,
)
def test_sizes_that_are_not_the_stored_ones(
    full: Path, changes: dict[str, Any], match: str
) -> None:
    refuse(full, match, **changes)


def test_norms_that_config_json_leaves_out_are_refused_though_they_are_zero(
    tmp_path: Path,
) -> None:
    """Gemma's norms begin as zeros, and are no less applied for it."""
    folder = write_tiny_model(tmp_path / "m", "gemma2", num_hidden_layers=1)
    refuse(folder, "feedforward_layernorm.weight is stored", model_type="gemma", layer_types=None)


def test_a_bias_counts_unless_it_is_zero(full: Path) -> None:
    add(full, **{BIAS.replace(".", "__"): torch.zeros(128)})
    assert compare(full) == [BIAS]
    add(full, **{BIAS.replace(".", "__"): torch.ones(128)})
    refuse(full, f"{BIAS} is stored, and .* has no such weight there")


@pytest.mark.parametrize("name", ["tower.fc.weight", "model.visual.x.weight", "score.weight"])
def test_what_lies_beside_the_model_is_left_over(full: Path, name: str) -> None:
    rewrite(full, lambda stored: stored.update({name: torch.ones(2, 2)}))
    assert compare(full) == [name]


def test_buffers_of_older_releases_are_left_over_or_known(full: Path) -> None:
    mask = "model.layers.0.self_attn.bias"
    rewrite(
        full,
        lambda stored: stored.update(
            {
                mask: torch.ones(1, 1, 8, 8),
                "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(16),
            }
        ),
    )
    assert compare(full) == [mask]


def test_a_layer_of_training_alone_is_left_over(full: Path) -> None:
    name = "model.layers.2.mlp.up_proj.weight"
    rewrite(full, lambda stored: stored.update({name: torch.ones(2, 2)}))
    refuse(full, name)
    assert compare(full, num_nextn_predict_layers=1) == [name]


def test_a_base_model_is_known_without_its_prefix(full: Path) -> None:
    def without(stored: Stored) -> None:
        for name in list(stored):
            stored[name.removeprefix("model.")] = stored.pop(name)

    rewrite(full, without)
    assert compare(full) == []


def test_parts_of_quantised_matrices_have_the_models_names(full: Path) -> None:
    config, _ = settled(full)
    names = Names(empty(full, transformers_config.read(full, config)))
    layer = "layers.0.mlp.up_proj"
    for part in ("weight_packed", "weight.quant_state.bitsandbytes__nf4", "bias"):
        assert names.of_part(f"{layer}.{part}") == f"model.{layer}.{part}"
        assert names.of_part(f"model.{layer}.{part}") == f"model.{layer}.{part}"
    assert names.of_module(layer) == f"model.{layer}"
    assert names.of_part("vision.fc.weight_packed") == "vision.fc.weight_packed"


def test_left_overs_are_those_of_transformers(full: Path) -> None:
    further = {"score.weight": torch.ones(1, 128), "model.layers.0.x.scale": torch.ones(2)}
    rewrite(full, lambda stored: stored.update(further))
    _, report = AutoModelForCausalLM.from_pretrained(full, output_loading_info=True)
    assert set(compare(full)) == set(report["unexpected_keys"]) == set(further)


def test_experts_that_are_joined_are_not_missed(tmp_path: Path) -> None:
    import transformers

    config = transformers.MixtralConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        num_local_experts=2,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    assert any(".experts.0." in name for name in load_file(tmp_path / "model.safetensors"))
    assert compare(tmp_path) == []
    refuse(tmp_path, r"stored as \[64, 32\]", vocab_size=65)


def test_a_kind_that_transformers_does_not_know_is_let_pass(full: Path) -> None:
    config, tensors = settled(full, model_type="nonesuch", hidden_size=1)
    check_folder(full, config, tensors)
    check_folder(full, config | {"model_type": "vit", "num_attention_heads": 1}, tensors)
    with pytest.raises(ModelRefusedError, match="stored as"):
        check_folder(full, config | {"model_type": "qwen2", "num_attention_heads": 1}, tensors)


def test_a_model_that_cannot_be_built_is_said_with_the_reason(full: Path) -> None:
    config, _ = settled(full)
    described = transformers_config.read(full, config)
    described.pad_token_id = 5000
    with pytest.raises(ModelRefusedError, match=r"^full: transformers cannot build .*Padding_idx"):
        empty(full, described)


def test_modules_of_the_model_and_of_its_layers(full: Path) -> None:
    config, _ = settled(full)
    model = empty(full, transformers_config.read(full, config))
    within = {"model.layers.0.q.weight", "model.layers.9.x.weight", "model.norm.bias"}
    beside = {"model.x.weight", "x.weight", "mtp.layers.0.weight", "weight"}
    assert {name for name in within | beside if is_within(model, name)} == within
    assert described_model.is_known(model.config)
