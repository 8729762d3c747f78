"""Values that no model can be computed with, named with what was meant."""

from __future__ import annotations

from typing import Any

import pytest

from models import config_values
from models.memory import shapes


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"tie_word_embeddings": "false"}, "tie_word_embeddings is 'false'"),
        ({"attention_bias": 1}, "attention_bias is 1 in its config.json, which is neither true"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0"),
        ({"num_hidden_layers": -1}, "num_hidden_layers is -1"),
        ({"num_key_value_heads": 3, "num_attention_heads": 4}, "does not divide the"),
        ({"rms_norm_eps": -1.0}, "rms_norm_eps is -1.0"),
        ({"rms_norm_eps": "1e-6"}, "rms_norm_eps is '1e-6'"),
        ({"query_pre_attn_scalar": 0}, "query_pre_attn_scalar is 0"),
        ({"final_logit_softcapping": 0.0}, "final_logit_softcapping is 0.0"),
        ({"partial_rotary_factor": 0}, "partial_rotary_factor is 0"),
        ({"partial_rotary_factor": 2.0}, "partial_rotary_factor is 2.0"),
        ({"sliding_window": 0, "model_type": "mistral"}, "sliding_window is 0"),
        ({"sliding_window": "24", "model_type": "gemma2"}, "null: no window"),
        ({"sliding_window": -1, "model_type": "qwen2", "use_sliding_window": True}, "is -1"),
        ({"eos_token_id": "</s>"}, "eos_token_id is '</s>'"),
        ({"eos_token_id": [1, None]}, "no token id and no list"),
        ({"text_config": {"rope_theta": 0}}, "rope_theta is 0"),
        ({"text_config": {"eos_token_id": True}}, "eos_token_id is true"),
        ({"logits_scaling": float("nan")}, "logits_scaling is nan"),
        ({"vocab_size": "9" * 200}, f"vocab_size is '{'9' * 59} in"),
    ],
    ids=str,
)
def test_a_fault_is_named_with_its_value(config: dict[str, Any], said: str) -> None:
    fault = config_values.fault(config)
    assert fault is not None
    assert said in fault


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"tie_word_embeddings": None, "num_key_value_heads": None, "head_dim": None},
        {"rms_norm_eps": 0, "final_logit_softcapping": None, "eos_token_id": [1, 2]},
        {"num_attention_heads": [8, 4], "num_key_value_heads": [2, 1]},  # of each layer
        {"sliding_window": 0, "model_type": "qwen2"},  # asked for by nothing
        {"sliding_window": 0, "model_type": "mistral", "layer_types": ["full_attention"]},
        {"sliding_window": 4096, "use_sliding_window": False, "model_type": "qwen3"},
        {"sliding_window": [512, None]},
        {"text_config": {}, "rms_norm_eps": -1},  # the language model's part counts
    ],
    ids=str,
)
def test_what_can_be_computed(config: dict[str, Any]) -> None:
    assert config_values.fault(config) is None


def test_published_configurations_have_no_fault() -> None:
    for alias, config in shapes.published().items():
        null = {"sliding_window": config.get("sliding_window") or None}  # TOML has none: 0 there
        assert config_values.fault({**config, **null}) is None, alias
