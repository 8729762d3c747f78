"""vLLM's engine arguments, made from our settings and from ``--engine-arg``. No vLLM in here.

What is safe is not left to defaults: weights from safetensors only, no code from the model's
folder, no request in a log.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from serve.engine.settings import EngineSettings
from serve.errors import StartupError
from serve.suggestion import near

MAX_LOGPROBS = 20
LEAST_STEP_TOKENS = 2048
"""Tokens of a step by vLLM's own default on the smallest card; larger cards have more."""

OWN_FLAGS: Mapping[str, str] = {
    "model": "--model",
    "served_model_name": "--served-model-name",
    "dtype": "--dtype",
    "max_model_len": "--max-model-len",
    "max_num_seqs": "--max-num-seqs",
    "max_num_batched_tokens": "--max-num-batched-tokens",
    "max_num_queued_reqs": "--max-num-queued-reqs",
    "kv_cache_memory_bytes": "--kv-cache-tokens",
    "num_gpu_blocks_override": "--kv-cache-tokens",
    "tensor_parallel_size": "--tensor-parallel-size",
    "pipeline_parallel_size": "--pipeline-parallel-size",
    "distributed_executor_backend": "--distributed-executor-backend",
    "gpu_memory_utilization": "--gpu-memory-utilization",
    "enable_prefix_caching": "--enable-prefix-caching",
    "kv_cache_dtype": "--kv-cache-dtype",
    "enforce_eager": "--enforce-eager",
    "enable_lora": "--lora",
    "lora_modules": "--lora",
    "max_loras": "--max-loras",
    "max_lora_rank": "--max-lora-rank",
    "log_level": "--log-level",
}
"""Arguments of vLLM that have a flag of ours."""

FIXED: Mapping[str, str] = {
    "trust_remote_code": "no code from a model's folder is run",
    "load_format": "weights are loaded from safetensors only",
    "config_format": "a model is what its config.json says",
    "tokenizer": "text stays above the engine",
    "skip_tokenizer_init": "text stays above the engine",
    "structured_outputs_config": "grammars are compiled as the other engine compiles them",
    "reasoning_parser": "text stays above the engine",
    "reasoning_config": "text stays above the engine",
    "generation_config": "sampling comes from the request",
    "override_generation_config": "sampling comes from the request",
    "logprobs_mode": "logprobs are of the model's own distribution",
    "max_logprobs": f"clients may ask for {MAX_LOGPROBS}",
    "stream_interval": "use --max-token-hold-ms",
    "disable_log_stats": "the engine's steps are its heartbeat",
    "enable_log_requests": "requests are never logged",
    "allowed_local_media_path": "this server reads and writes text only",
    "allowed_media_domains": "this server reaches nothing outside its walls",
    "download_dir": "this server reaches nothing outside its walls",
    "hf_token": "this server reaches nothing outside its walls",
    "otlp_traces_endpoint": "this server reaches nothing outside its walls",
    "enable_prompt_embeds": "prompts are token ids",
    "max_cpu_loras": "every adapter stays loaded",
    "lora_target_modules": "an adapter is applied as a whole",
    "default_mm_loras": "a request names its adapter",
    "runner": "the engine generates",
    "model_impl": "the model's code is vLLM's own",
    "worker_cls": "it names code to run",
    "worker_extension_cls": "it names code to run",
    "scheduler_cls": "it names code to run",
    "logits_processors": "it names code to run",
    "model_class_overrides": "it names code to run",
    "reasoning_parser_plugin": "it names code to run",
    "io_processor_plugin": "it names code to run",
    "nnodes": "nodes find each other through Ray: --distributed-executor-backend ray",
    "kv_transfer_config": "it would open the engine to other machines",
    "kv_events_config": "it would open the engine to other machines",
    "ec_transfer_config": "it would open the engine to other machines",
    "weight_transfer_config": "it would open the engine to other machines",
}
"""Arguments that are not for operators to change, with the reason."""


def base_arguments(path: Path, settings: EngineSettings) -> dict[str, Any]:
    """Everything but sizes that depend on the machine."""
    vllm = settings.vllm
    arguments: dict[str, Any] = {
        "model": str(path),
        "skip_tokenizer_init": True,
        "trust_remote_code": False,
        "load_format": "safetensors",
        "config_format": "hf",  # else params.json, where a consolidated.safetensors lies there too
        "generation_config": "vllm",
        "dtype": settings.dtype,
        "tensor_parallel_size": vllm.tensor_parallel_size,
        "pipeline_parallel_size": vllm.pipeline_parallel_size,
        "enable_prefix_caching": settings.enable_prefix_caching,
        "kv_cache_dtype": vllm.kv_cache_dtype,
        "enforce_eager": vllm.enforce_eager,
        "enable_log_requests": False,
        "disable_log_stats": False,
        "logprobs_mode": "raw_logprobs",
        "max_logprobs": MAX_LOGPROBS,
        "use_tqdm_on_load": False,
    }
    if vllm.distributed_executor_backend == "ray":
        arguments["distributed_executor_backend"] = "ray"
    if vllm.logits_processors:
        arguments["logits_processors"] = list(vllm.logits_processors)
    if settings.max_model_len is not None:
        arguments["max_model_len"] = settings.max_model_len
    return arguments | _batch(settings)


def _batch(settings: EngineSettings) -> dict[str, int]:
    """Sizes of a step that are asked for; where none are, the platform's hold."""
    seqs, tokens = settings.max_num_seqs, settings.max_num_batched_tokens
    sizes = {} if seqs is None else {"max_num_seqs": seqs}
    if tokens is not None:
        return sizes | {"max_num_batched_tokens": max(tokens, seqs or 1)}
    if seqs is not None and seqs > LEAST_STEP_TOKENS:
        # More than the tokens of vLLM's own step may be, which it would refuse.
        sizes["max_num_batched_tokens"] = 2 * seqs
    return sizes


def extra_arguments(settings: EngineSettings, known: Collection[str]) -> dict[str, Any]:
    """The values of ``--engine-arg``.

    Args:
        known: names of the installed vLLM's engine arguments.

    Raises:
        StartupError: no such argument (with near names), one that has a flag or is fixed, or one
            that is given twice.
    """
    public = {name: None for name in known if not name.startswith("_")}
    arguments: dict[str, Any] = {}
    for argument in settings.vllm.engine_args:
        raw, separator, value = argument.partition("=")
        name = raw.strip().removeprefix("--").replace("-", "_")
        flag = f"--engine-arg {argument[:80]}"
        if not separator:
            raise StartupError(f"{flag}: NAME=VALUE is needed, such as block_size=64.")
        if name in OWN_FLAGS:
            raise StartupError(f"{flag}: use {OWN_FLAGS[name]}.")
        if name in FIXED or name.startswith("data_parallel_"):
            reason = FIXED.get(name, "the engine's processes are on this machine")
            raise StartupError(f"{flag}: this is fixed, because {reason}.")
        if name not in public:
            raise StartupError(
                f"{flag}: the installed vLLM has no such engine argument.{near(name, public)}"
            )
        if name in arguments:
            raise StartupError(f"{flag}: {name} is given twice.")
        arguments[name] = _value(value)
    return arguments


def _value(text: str) -> Any:
    """JSON where it is JSON, else the text as it stands."""
    try:
        return json.loads(text)
    except ValueError:
        return text
