"""Parameters from config.json alone: equal to those of transformers' own models."""

from __future__ import annotations

import contextlib
import json

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from models import catalog
from models.errors import UnknownShapeError
from models.memory import shapes, sizes
from models.memory.attention_shapes import attention_layers
from models.memory.families import FAMILIES

SIZES = {
    "hidden_size": 96,
    "intermediate_size": 160,
    "vocab_size": 320,
    "num_hidden_layers": 5,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
MOE = {"moe_intermediate_size": 48}
MLA = {
    "kv_lora_rank": 32,
    "qk_nope_head_dim": 24,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    "num_key_value_heads": 6,
    "first_k_dense_replace": 2,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_shared_experts": 2,
    "topk_method": "greedy",
    "n_group": 1,
    "topk_group": 1,
}
CASES = {
    "llama": ("Llama", {}),
    "llama with biases": ("Llama", {"attention_bias": True, "mlp_bias": True}),
    "llama, tied, own head size": ("Llama", {"tie_word_embeddings": True, "head_dim": 24}),
    "llama, all heads": ("Llama", {"num_key_value_heads": 6}),
    "mistral": ("Mistral", {"head_dim": 32, "sliding_window": None}),
    "mistral with a window": ("Mistral", {"head_dim": 16}),
    "mixtral": ("Mixtral", {"num_local_experts": 4}),
    "phi3": ("Phi3", {"sliding_window": 20}),
    "qwen2": ("Qwen2", {}),
    "qwen2, tied": ("Qwen2", {"tie_word_embeddings": True}),
    "qwen2 with windows": (
        "Qwen2",
        {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 2},
    ),
    "qwen2 moe": (
        "Qwen2Moe",
        MOE | {"num_experts": 4, "shared_expert_intermediate_size": 64, "mlp_only_layers": [1]},
    ),
    "qwen3": ("Qwen3", {"head_dim": 32}),
    "qwen3 with biases": ("Qwen3", {"head_dim": 32, "attention_bias": True}),
    "qwen3 moe": ("Qwen3Moe", MOE | {"num_experts": 6, "head_dim": 16, "decoder_sparse_step": 2}),
    "gemma": ("Gemma", {"head_dim": 32}),
    "gemma2": ("Gemma2", {"sliding_window": 16}),
    "gemma2, untied": ("Gemma2", {"head_dim": 32, "tie_word_embeddings": False}),
    "gemma3": ("Gemma3Text", {"head_dim": 32, "sliding_window": 16, "num_hidden_layers": 7}),
    "deepseek v2": ("DeepseekV2", MLA | MOE | {"q_lora_rank": None}),
    "deepseek v3": ("DeepseekV3", MLA | MOE | {"q_lora_rank": 40}),
}


def made(name: str) -> transformers.PretrainedConfig:
    kind, own = CASES[name]
    return getattr(transformers, kind + "Config")(**(SIZES | own))


def stored(config: transformers.PretrainedConfig) -> dict:
    """config.json as transformers writes it."""
    return json.loads(config.to_json_string(use_diff=True))


@pytest.mark.parametrize("name", CASES)
def test_parameters_equal_transformers_own(name):
    config = made(name)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    shape = shapes.read(stored(config))
    assert shape.num_parameters == sum(p.numel() for p in model.parameters())
    assert sizes.weights_bytes(shape) == sum(p.nbytes for p in model.parameters())
    embedding = model.get_input_embeddings().weight
    assert shape.embedding == embedding.numel()
    assert shape.is_tied == (model.get_output_embeddings().weight is embedding)


def test_real_models_of_each_kind():
    """Published sizes, against the numbers that their makers state."""
    for alias, config in shapes.published().items():
        shape = shapes.read(config)
        entry = catalog.load()[alias]
        assert shape.num_parameters == entry.parameters, alias
        assert shape.context_length == entry.context_length, alias
        assert config["architectures"] == [entry.architecture], alias


def test_all_but_the_built_in_model_are_known():
    missing = set(catalog.load()) - set(shapes.published())
    assert missing == {"demo"}
    assert set(shapes.published()) <= set(catalog.load())


QWEN2 = {"model_type": "qwen2", **SIZES}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model_type": "mamba"}, "'mamba'"),
        ({"model_type": None}, "Known: llama"),
        ({"hidden_size": "96"}, "'96' is no size"),
        ({"hidden_size": 0}, "0 is no size"),
        ({"num_hidden_layers": True}, "True is no size"),
        ({"num_hidden_layers": -1}, "-1 is no size"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1,000,000,000; at most"),
        ({"vocab_size": None}, "None is no size"),
    ],
)
def test_what_cannot_be_told_is_said(change, says):
    with pytest.raises(UnknownShapeError, match=says):
        shapes.read(QWEN2 | change)


def test_a_missing_key_is_named():
    with pytest.raises(UnknownShapeError, match="'vocab_size'"):
        shapes.read({k: v for k, v in QWEN2.items() if k != "vocab_size"})


@given(
    config=st.dictionaries(
        st.sampled_from([*QWEN2, "layer_types", "sliding_window", "kv_lora_rank", "text_config"]),
        st.none() | st.integers(-3, 1 << 50) | st.text(max_size=3) | st.lists(st.integers()),
    ),
    family=st.sampled_from(sorted(FAMILIES)),
)
def test_any_configuration_is_read_or_refused(config, family):
    odd = QWEN2 | config | {"model_type": family}
    if isinstance(odd["num_hidden_layers"], int) and odd["num_hidden_layers"] > 1000:
        odd["num_hidden_layers"] = 3
    for read in (shapes.read, attention_layers):
        with contextlib.suppress(UnknownShapeError):
            read(odd)
