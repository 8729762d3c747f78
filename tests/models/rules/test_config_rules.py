"""Keys of configurations, one by one: what is refused, and the harmless neighbours that are not."""

from __future__ import annotations

import pytest

from models.rules import config_rules


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("_name_or_path", "org/model"),
        ("auto_mapping", {"base_model_class": "X"}),
        ("trust_remote_code", False),
        ("tokenizer_file", None),
        ("vocab_file", ""),
        ("base_model", None),
        ("attn_implementation", "flash_attention_2"),
        ("_attn_implementation", {"": "sdpa"}),
        ("architectures", ["Qwen2ForCausalLM"]),
        ("model_type", "qwen2"),
        ("model_type", ""),
        ("tokenizer_class", None),
        ("transformers_weights", "model-q4.safetensors"),
        ("fast_tokenizer_files", ["tokenizer.json", "tokenizer.4.0.0.json"]),
        ("backbone", "resnet50"),
        ("use_pretrained_backbone", False),
        ("quantization_config", None),
        ("quantization_config", {"quant_method": "gptq", "dataset": "c4", "model_path": None}),
        ("quantization_config", {"quant_method": "bitnet", "linear_class": "autobitlinear"}),
        ("special_tokens_map_file", "/a/b"),
    ],
)
def test_harmless(key, value):
    assert config_rules.fault(key, value) is None


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        *((key, None, "remote-code") for key in config_rules.REFUSED_KEYS),
        *((key, "org/x", "fetch") for key in sorted(config_rules.FETCHING_KEYS)),
        ("trust_remote_code", True, "remote-code"),
        ("trust_remote_code", "yes", "remote-code"),
        ("experts_implementation", "org/kernel", "remote-code"),
        ("architectures", ["a.b"], "remote-code"),
        ("architectures", [7], "remote-code"),
        ("model_type", ["x"], "remote-code"),
        ("tokenizer_class", ["x"], "remote-code"),
        ("transformers_weights", "/x.safetensors", "fetch"),
        ("transformers_weights", "model.bin", "fetch"),
        ("fast_tokenizer_files", [7], "fetch"),
        ("backbone", "org/x", "fetch"),
        ("use_pretrained_backbone", True, "fetch"),
        ("quantization_config", "x", "remote-code"),
        ("quantization_config", {"quant_method": "org/x"}, "remote-code"),
        ("quantization_config", {"a": [{"kernel": "x"}]}, "remote-code"),
        ("compression_config", {"import": "x"}, "remote-code"),
    ],
)
def test_refused(key, value, rule):
    assert config_rules.fault(key, value)[0] == rule
