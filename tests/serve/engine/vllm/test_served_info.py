"""What vLLM settled, as the engine tells it; sizes that were left to it are logged."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import Qwen2Config

from serve.engine import model_files
from serve.engine.protocol import EngineInfo
from serve.engine.vllm.served_info import info_of

VOCAB_SIZE = 1024


def settled(**cache: Any) -> SimpleNamespace:
    """A VllmConfig as it is once a model is loaded."""
    kept = {"enable_prefix_caching": True, "kv_cache_size_tokens": None, "num_gpu_blocks": 10}
    return SimpleNamespace(
        model_config=SimpleNamespace(
            max_model_len=64,
            dtype="torch.bfloat16",
            hf_config=Qwen2Config(vocab_size=VOCAB_SIZE, eos_token_id=[2, VOCAB_SIZE]),
            get_vocab_size=lambda: VOCAB_SIZE,
        ),
        cache_config=SimpleNamespace(block_size=16, **(kept | cache)),
        scheduler_config=SimpleNamespace(max_num_seqs=4, max_num_batched_tokens=512),
    )


def told(folder: Path, **cache: Any) -> EngineInfo:
    return info_of(settled(**cache), model_files.read(folder), "cuda")


def test_sizes_are_those_that_vllm_settled(tiny_qwen2: Path) -> None:
    info = told(tiny_qwen2)
    assert (info.name, info.device, info.dtype) == ("vllm", "cuda", "bfloat16")
    assert (info.max_model_len, info.max_num_seqs, info.cache_block_size) == (64, 4, 16)
    assert info.weight_bytes == model_files.read(tiny_qwen2).files.total_bytes
    assert info.num_parameters > 0


@pytest.mark.parametrize(("tokens", "expected"), [(None, 160), (100, 100)])
def test_the_cache_is_told_in_tokens_or_in_blocks(tiny_qwen2: Path, tokens, expected) -> None:
    assert told(tiny_qwen2, kv_cache_size_tokens=tokens).kv_cache_tokens == expected


def test_an_end_that_is_not_in_the_vocabulary_is_none(tiny_qwen2: Path) -> None:
    assert VOCAB_SIZE not in told(tiny_qwen2).eos_token_ids
    assert 2 in told(tiny_qwen2).eos_token_ids


def test_prefixes_are_offered_where_they_are_kept(tiny_qwen2: Path) -> None:
    kept, unkept = (told(tiny_qwen2, enable_prefix_caching=on) for on in (True, False))
    assert kept.capabilities - unkept.capabilities == {"prefix_cache"}
    assert "grammar" not in kept.capabilities  # until the core has said so


def test_a_context_that_was_cut_is_told(tiny_qwen2: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        told(tiny_qwen2)
    sizes, shorter, *_ = caplog.records
    assert (sizes.message, sizes.max_num_batched_tokens) == ("vllm sizes", 512)
    assert shorter.message == "context is shorter than the model's own"
    assert shorter.max_model_len == 64
    assert shorter.limit > 64
