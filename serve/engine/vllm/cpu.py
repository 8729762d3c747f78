"""Sizes vLLM's share of a CPU machine: memory for the KV cache, and threads. No vLLM in here.

Left alone, vLLM takes a share of the host's memory, and pins a thread to each core that it may run
on, whatever CPU time its container was given. Each figure comes with its reason, for the log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.errors import UnknownShapeError
from models.memory import fit, sizes
from models.memory.attention_shapes import attention_layers
from models.memory.context import context_length
from models.stored_config import stated_dtype
from serve.engine.settings import EngineSettings
from serve.errors import StartupError

KV_SHARE = 0.5
"""Share of the memory that the weights leave free."""
BLOCK_TOKENS = 128
"""Tokens in a block of vLLM's KV cache on a CPU, its own default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuPlan:
    """The share that vLLM gets, and why.

    Attributes:
        kv_cache_bytes: size of the KV cache, of all ranks together.
        max_model_len: most tokens of one sequence; None where the model's own fit.
        environment: for vLLM's processes.
        reasons: one sentence for each figure.
    """

    kv_cache_bytes: int
    max_model_len: int | None
    environment: Mapping[str, str] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()


def plan(
    config: Mapping[str, Any],
    settings: EngineSettings,
    *,
    weight_bytes: int,
    free_bytes: int | None,
    asked_bytes: int | None,
    cpus: int,
    quota: float | None,
) -> CpuPlan:
    """Size the KV cache and the threads. Pure.

    Args:
        config: the model's config.json.
        weight_bytes: of the checkpoint.
        free_bytes: memory that can still be taken; None where it is not known.
        asked_bytes: of VLLM_CPU_KVCACHE_SPACE, which vLLM obeys before all else.
        cpus: logical CPUs that the process may run on.
        quota: CPUs' worth of time that the container has; None without a limit.

    Raises:
        StartupError: what was asked for does not fit the memory.
    """
    environment, threads_reason = _threads(cpus, quota)
    per_token = bytes_per_token(config, settings)
    model_len = context_length(config)
    length = settings.max_model_len or model_len or 4096
    if asked_bytes is not None:
        size, why = asked_bytes, "as VLLM_CPU_KVCACHE_SPACE asks"
    elif settings.kv_cache_tokens is not None and per_token:
        size, why = settings.kv_cache_tokens * per_token, "as --kv-cache-tokens asks"
        _refuse_tokens(settings.kv_cache_tokens, size, weight_bytes, free_bytes)
    else:
        room = _room(settings, weight_bytes, free_bytes)
        size, why = _share(settings.num_seqs, length, per_token, room)
    fits = length if per_token is None else _tokens_that_fit(size, per_token)
    if fits < min(length, BLOCK_TOKENS) or (settings.max_model_len and fits < length):
        raise StartupError(
            f"The KV cache would hold {max(0, fits)} tokens and one sequence may have {length}. "
            "Lower --max-model-len, raise --kv-cache-tokens or --gpu-memory-utilization, or free "
            "memory."
        )
    free = "unknown" if free_bytes is None else f"{free_bytes / 1e9:.1f} GB"
    reasons = (
        f"KV cache {size / 1e9:.2f} GB: {why} (free {free}, weights {weight_bytes / 1e9:.2f} GB)",
        threads_reason,
    )
    shortened = min(length, fits) if fits < length else settings.max_model_len
    return CpuPlan(
        kv_cache_bytes=size, max_model_len=shortened, environment=environment, reasons=reasons
    )


def bytes_per_token(config: Mapping[str, Any], settings: EngineSettings) -> int | None:
    """Keys and values of one token over all layers; None for models that are built otherwise."""
    if settings.vllm.kv_cache_dtype.startswith("fp8"):
        item = 1
    else:
        item = sizes.DTYPE_BYTES.get(pick_dtype(config, settings), 4)
    try:
        return sizes.kv_bytes_per_token(attention_layers(config), item_bytes=item)
    except UnknownShapeError:
        return None


def pick_dtype(config: Mapping[str, Any], settings: EngineSettings) -> str:
    """The type asked for, or the checkpoint's; vLLM's ``auto`` would narrow float32 in silence."""
    return settings.dtype if settings.dtype != "auto" else stated_dtype(config) or "auto"


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's config.json.

    Raises:
        StartupError: there is none, it cannot be read, or it brings code of its own.
    """
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        config = None
    if not isinstance(config, dict):
        raise StartupError(f"{folder.name}: no readable config.json, so this is no model folder.")
    if "auto_map" in config:
        raise StartupError(
            f"The vLLM engine cannot run {folder.name}: it brings its own Python code (auto_map), "
            "which is never run here."
        )
    return config


def _refuse_tokens(num_tokens: int, size: int, weight_bytes: int, free_bytes: int | None) -> None:
    if free_bytes is not None and size > free_bytes - weight_bytes:
        raise StartupError(
            f"--kv-cache-tokens {num_tokens} needs {size / 1e9:.1f} GB; "
            f"{max(0, free_bytes - weight_bytes) / 1e9:.1f} GB are free beside the weights."
        )


def _share(max_num_seqs: int, length: int, per_token: int | None, room: int) -> tuple[int, str]:
    """Bytes for all sequences at full length, at most ``room``; and the reason."""
    if per_token is None:
        return room, "a share of the free memory; its use per token is not known"
    # One block more for each sequence, which may end within one, and vLLM's own empty block.
    full = (max_num_seqs * (length + BLOCK_TOKENS) + BLOCK_TOKENS) * per_token
    if full <= room:
        return full, "all sequences at full length"
    return room, "a share of the free memory"


def _room(settings: EngineSettings, weight_bytes: int, free_bytes: int | None) -> int:
    if free_bytes is None:
        return 4 << 30
    share = settings.vllm.gpu_memory_utilization or KV_SHARE
    return max(0, int(share * (free_bytes - weight_bytes - fit.RUNTIME_BYTES)))


def _tokens_that_fit(size: int, per_token: int) -> int:
    """Tokens of one sequence that fit. vLLM counts whole blocks, and keeps one of them empty."""
    return (size // (per_token * BLOCK_TOKENS) - 1) * BLOCK_TOKENS


def _threads(cpus: int, quota: float | None) -> tuple[dict[str, str], str]:
    if quota is None or quota >= cpus:
        return {}, f"threads: vLLM pins them to the {cpus} CPUs of this process, less its reserve"
    # Pinned, the replicas on one node would all crowd on its first CPUs.
    threads = max(1, int(quota))
    return (
        {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": str(threads)},
        f"threads: {threads}, not pinned, as the container has {quota:g} of {cpus} CPUs' time",
    )
