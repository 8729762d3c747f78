"""An engine's settings, from the settings of the server."""

from __future__ import annotations

from serve.config import Config
from serve.engine.settings import (
    EngineSettings,
    FakeSettings,
    TransformersSettings,
    VllmSettings,
)


def settings_of(config: Config, *, model_digest: str | None, fake: FakeSettings) -> EngineSettings:
    """Settings for whichever engine will be built.

    Args:
        model_digest: of the model's manifest; None where it has none.
        fake: of the fake engine, which speaks the model's own vocabulary.
    """
    return EngineSettings(
        dtype=config.dtype,
        device=config.device,
        max_model_len=config.max_model_len,
        max_num_seqs=config.max_num_seqs,
        max_num_batched_tokens=config.max_num_batched_tokens,
        kv_cache_tokens=config.kv_cache_tokens,
        enable_prefix_caching=config.enable_prefix_caching,
        max_hold_s=config.max_token_hold_ms / 1000,
        model_digest=model_digest,
        transformers=TransformersSettings(
            prompt_lookup=config.prompt_lookup,
            num_speculative_tokens=config.num_speculative_tokens,
            prefix_cache_dir=config.prefix_cache_dir,
            prefix_cache_file_bytes=config.prefix_cache_file_bytes,
            prefix_cache_key_file=config.prefix_cache_key_file,
        ),
        vllm=VllmSettings(
            tensor_parallel_size=config.tensor_parallel_size,
            pipeline_parallel_size=config.pipeline_parallel_size,
            distributed_executor_backend=config.distributed_executor_backend,
            gpu_memory_utilization=config.gpu_memory_utilization,
            kv_cache_dtype=config.kv_cache_dtype,
            enforce_eager=config.enforce_eager,
            engine_args=config.engine_arg,
            stall_timeout_s=config.engine_stall_timeout,
            adapters=tuple(config.adapters.items()),
            max_loras=config.max_loras,
            max_lora_rank=config.max_lora_rank,
        ),
        fake=fake,
    )
