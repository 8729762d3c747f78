"""Layers' keys and values from config.json alone: windows, latents and sizes that are none."""

from __future__ import annotations

import pytest

from models.errors import UnknownShapeError
from models.memory.attention_shapes import AttentionLayer, attention_layers, text_config
from tests.models.memory.test_shapes import CASES, MLA, QWEN2, made, stored


@pytest.mark.parametrize("name", CASES)
def test_windows_equal_transformers_own(name):
    config = made(name)
    kinds = getattr(config, "layer_types", None)
    window = getattr(config, "sliding_window", None)
    if kinds is None:
        kinds = ["sliding_attention" if window else "full_attention"] * config.num_hidden_layers
    expected = [window if kind == "sliding_attention" else None for kind in kinds]
    plain = stored(config)
    assert [layer.window for layer in attention_layers(plain)] == expected
    plain.pop("layer_types", None)  # as configurations of before it was a key
    assert [layer.window for layer in attention_layers(plain)] == expected


def test_grouped_heads_are_counted_once():
    assert set(attention_layers(QWEN2)) == {
        AttentionLayer(num_kv_heads=2, key_dim=16, value_dim=16)
    }
    plain = {key: value for key, value in QWEN2.items() if key != "num_key_value_heads"}
    assert attention_layers(plain)[0].num_kv_heads == 6


def test_a_latent_stands_for_all_heads():
    (layer, *_) = attention_layers(QWEN2 | MLA)
    assert (layer.latent_dim, layer.num_kv_heads) == (32 + 8, 6)
    assert (layer.key_dim, layer.value_dim) == (24 + 8, 16)


def test_a_model_that_also_sees_has_the_layers_of_its_text():
    config = {"model_type": "seeing", "text_config": QWEN2}
    assert text_config(config) == QWEN2
    assert attention_layers(config) == attention_layers(QWEN2)
    assert text_config({"text_config": None}) == {"text_config": None}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"num_attention_heads": None}, "None is no size"),
        ({"num_attention_heads": 0}, "0 is no size"),
        ({"num_hidden_layers": 10**9}, "1,000,000,000; at most"),
        ({"head_dim": 1.5}, "1.5 is no size"),
        ({"kv_lora_rank": 4}, "'qk_rope_head_dim'"),
    ],
)
def test_attention_that_cannot_be_told_is_said(change, says):
    with pytest.raises(UnknownShapeError, match="does not describe its attention") as refused:
        attention_layers(QWEN2 | change)
    assert says in str(refused.value)
