"""The sizes, types and abilities that a running vLLM has settled."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from models.memory import stored_numbers
from models.memory.context import context_length
from serve.engine import end_tokens
from serve.engine.model_files import Checkpoint
from serve.engine.protocol import Capability, EngineInfo

log = logging.getLogger(__name__)


def info_of(settled: Any, checkpoint: Checkpoint, device: str) -> EngineInfo:
    """The engine's own account of itself; sizes that were left to vLLM are logged.

    Args:
        settled: vLLM's ``VllmConfig``, once the model is loaded.
        device: vLLM's name of the kind.
    """
    model, cache, scheduler = settled.model_config, settled.cache_config, settled.scheduler_config
    _tell_sizes(checkpoint.config, model.max_model_len, scheduler)
    capabilities: set[Capability] = {
        "logprobs",
        "prompt_logprobs",
        "seed",
        "min_p",
        "logit_bias",
        "penalties",
        "token_rules",
    }
    if cache.enable_prefix_caching:
        capabilities.add("prefix_cache")
    vocab_size: int = model.get_vocab_size()
    eos_token_ids = end_tokens.eos_token_ids(checkpoint.folder, model.hf_config)
    return EngineInfo(
        name="vllm",
        max_model_len=model.max_model_len,
        max_num_seqs=scheduler.max_num_seqs,
        kv_cache_tokens=cache.kv_cache_size_tokens or cache.num_gpu_blocks * cache.block_size,
        vocab_size=vocab_size,
        eos_token_ids=frozenset(token for token in eos_token_ids if token < vocab_size),
        capabilities=frozenset(capabilities),
        dtype=str(model.dtype).removeprefix("torch."),
        device=device,
        num_parameters=stored_numbers.of_model(checkpoint.config, checkpoint.files.tensors),
        weight_bytes=checkpoint.files.total_bytes,
        cache_block_size=cache.block_size,
    )


def _tell_sizes(config: Mapping[str, Any], served_length: int, scheduler: Any) -> None:
    """Log what came of sizes that were left to vLLM."""
    log.info(
        "vllm sizes",
        extra={
            "max_model_len": served_length,
            "max_num_seqs": scheduler.max_num_seqs,
            "max_num_batched_tokens": scheduler.max_num_batched_tokens,
        },
    )
    length = context_length(config)
    if length is not None and served_length < length:
        log.warning(
            "context is shorter than the model's own",
            extra={"max_model_len": served_length, "limit": length},
        )
