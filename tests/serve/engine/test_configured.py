"""An engine is told what the operator set, and what was proven of the model."""

from __future__ import annotations

from pathlib import Path

from serve.config_sources import load_config
from serve.engine.configured import settings_of
from serve.engine.settings import FakeSettings

GIVEN = {
    "max_model_len": 512,
    "max_num_seqs": 3,
    "max_num_batched_tokens": 64,
    "max_token_hold_ms": 250,
    "num_speculative_tokens": 4,
    "tensor_parallel_size": 2,
    "kv_cache_dtype": "fp8",
    "lora": ["law=/adapters/law"],
    "max_loras": 1,
}


def test_what_is_set_reaches_the_engine() -> None:
    fake = FakeSettings(tokens_per_s=5.0)
    settings = settings_of(load_config(GIVEN, env={}), model_digest="sha256:1", fake=fake)
    assert (settings.max_model_len, settings.max_num_seqs) == (512, 3)
    assert (settings.max_num_batched_tokens, settings.max_hold_s) == (64, 0.25)
    assert settings.transformers.num_speculative_tokens == 4
    assert (settings.vllm.tensor_parallel_size, settings.vllm.kv_cache_dtype) == (2, "fp8")
    assert settings.vllm.adapters == (("law", Path("/adapters/law")),)
    assert (settings.model_digest, settings.fake) == ("sha256:1", fake)


def test_what_is_not_set_is_left_to_the_engine() -> None:
    settings = settings_of(load_config({}, env={}), model_digest=None, fake=FakeSettings())
    assert (settings.max_num_seqs, settings.max_model_len, settings.model_digest) == (None,) * 3
    assert settings.transformers.prefix_cache_dir is None
