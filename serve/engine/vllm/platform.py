"""vLLM's engine arguments that depend on where it runs: memory and context. No vLLM in here."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from models.memory import host_cpus, host_memory
from serve.engine import gpus
from serve.engine.settings import EngineSettings
from serve.engine.vllm import cpu, gpu
from serve.environment import cpu_kv_cache_bytes, set_engine_environment
from serve.errors import StartupError

log = logging.getLogger(__name__)

LONGEST_THAT_FITS = -1
"""Value of ``max_model_len``: the model's own, shortened to what the KV cache holds. vLLM measures
what is free once the weights are there, which nobody can know before."""


def platform_arguments(
    kind: str, config: Mapping[str, Any], settings: EngineSettings, weight_bytes: int
) -> dict[str, Any]:
    """The arguments, with the environment of a CPU's processes set.

    Args:
        kind: of device that the installed vLLM runs on, in its words.
        config: config.json.
        settings: what is asked for.
        weight_bytes: of the weights, adapters included.

    Raises:
        StartupError: another device is asked for, or memory is short.
    """
    if settings.device not in {"auto", kind}:
        raise StartupError(
            f"--device {settings.device}: the vLLM that is installed runs on {kind or 'nothing'} "
            "here. Take --device auto or another engine."
        )
    if kind == "cpu":
        return _cpu_arguments(config, settings, weight_bytes)
    return _gpu_arguments(config, settings, weight_bytes)


def _gpu_arguments(
    config: Mapping[str, Any], settings: EngineSettings, weight_bytes: int
) -> dict[str, Any]:
    """The KV cache that is asked for; without one vLLM sizes it, and the context by what fits."""
    arguments: dict[str, Any] = {}
    seen = gpus.visible()
    stated = cpu.pick_dtype(config, settings)
    dtype = gpu.pick_dtype(stated, settings, seen)
    if dtype != stated:
        log.warning("the GPU has no such type", extra={"asked": stated, "dtype": dtype})
        arguments["dtype"] = dtype
    if settings.max_model_len is None:
        arguments["max_model_len"] = LONGEST_THAT_FITS
    if settings.vllm.gpu_memory_utilization is not None:
        arguments["gpu_memory_utilization"] = settings.vllm.gpu_memory_utilization
    per_token = cpu.bytes_per_token(config, settings)
    gpu.refuse(config, settings, weight_bytes=weight_bytes, per_token=per_token, gpus=seen)
    if settings.kv_cache_tokens is not None and per_token:
        size = settings.kv_cache_tokens * per_token
        arguments["kv_cache_memory_bytes"] = size // _num_ranks(settings)
    return arguments


def _cpu_arguments(
    config: Mapping[str, Any], settings: EngineSettings, weight_bytes: int
) -> dict[str, Any]:
    plan = cpu.plan(
        config,
        settings,
        weight_bytes=weight_bytes,
        free_bytes=host_memory.available_bytes(),
        asked_bytes=cpu_kv_cache_bytes(),
        cpus=host_cpus.usable_cpus(),
        quota=host_cpus.cpu_quota(),
    )
    for reason in plan.reasons:
        log.info("vllm on this machine", extra={"reason": reason})
    set_engine_environment(plan.environment)
    arguments: dict[str, Any] = {
        "max_num_seqs": settings.num_seqs,
        "max_num_batched_tokens": settings.step_tokens,
        "kv_cache_memory_bytes": plan.kv_cache_bytes // _num_ranks(settings),
    }
    if plan.max_model_len is not None:
        arguments["max_model_len"] = plan.max_model_len
    return arguments


def _num_ranks(settings: EngineSettings) -> int:
    return settings.vllm.tensor_parallel_size * settings.vllm.pipeline_parallel_size
