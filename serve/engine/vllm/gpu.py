"""Sizes and types for vLLM on a GPU: what is refused before it starts, and what is told.

Pure; no vLLM in here. vLLM takes a share of the whole card, whatever others hold of it, and keeps
what weights and a step leave of that share for its KV cache. Its own refusals come from another
process, as a log. Here only what is certain is refused: what a step needs is vLLM's to measure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from models.memory import fit
from serve.engine.gpus import Gpu
from serve.engine.settings import EngineSettings
from serve.errors import StartupError

BFLOAT16_SINCE = (8, 0)
"""Compute capability. Before it vLLM refuses the type."""


def pick_dtype(stated: str, settings: EngineSettings, gpus: Sequence[Gpu]) -> str:
    """The type to serve in: as asked for or stated, float16 where the card has no bfloat16.

    Args:
        stated: what was asked for, else the checkpoint's own.

    Raises:
        StartupError: bfloat16 is asked for, and a card has none.
    """
    old = next((gpu for gpu in gpus if gpu.capability < BFLOAT16_SINCE), None)
    if old is None or stated != "bfloat16":
        return stated
    if settings.dtype == "bfloat16":
        major, minor = old.capability
        raise StartupError(
            f"--dtype bfloat16: {old.name} has compute capability {major}.{minor}, and vLLM needs "
            "8.0 for bfloat16. Take --dtype float16, or auto."
        )
    return "float16"


def refuse(
    config: Mapping[str, Any],
    settings: EngineSettings,
    *,
    weight_bytes: int,
    per_token: int | None,
    gpus: Sequence[Gpu],
) -> None:
    """Refuse what cannot fit the cards, with what would.

    Args:
        config: config.json.
        settings: what is asked for.
        weight_bytes: of the checkpoint, over all ranks.
        per_token: bytes of keys and values of a token over all layers and ranks; None where it is
            not known.
        gpus: that can be used; none where they could not be asked, and nothing is refused then.

    Raises:
        StartupError: too few cards, a share of one that is not free, no room for the weights, or
            --max-model-len or --kv-cache-tokens that the rest does not hold.
    """
    vllm = settings.vllm
    num_ranks = vllm.tensor_parallel_size * vllm.pipeline_parallel_size
    if not gpus or vllm.distributed_executor_backend == "ray":
        return
    if num_ranks > len(gpus):
        raise StartupError(
            f"The settings ask for {num_ranks} GPUs, and this process may use {len(gpus)}. Lower "
            "--tensor-parallel-size or --pipeline-parallel-size, or see CUDA_VISIBLE_DEVICES."
        )
    share = vllm.gpu_memory_utilization or fit.GPU_SHARE
    for gpu in gpus[:num_ranks]:
        _refuse_share(gpu, share)
    if any("offload" in argument for argument in vllm.engine_args):  # the host's memory counts
        return
    if settings.kv_cache_tokens is not None:
        share = 1.0  # vLLM takes what is asked for, beyond the share as well
    room = min(int(gpu.total_bytes * share) for gpu in gpus[:num_ranks]) * num_ranks - weight_bytes
    if room <= 0:
        raise StartupError(
            f"The weights are {_gb(weight_bytes)}, and of {num_ranks} GPUs this server may take "
            f"{_gb(room + weight_bytes)}. Take a smaller or quantised model, more GPUs "
            "(--tensor-parallel-size), or a larger --gpu-memory-utilization."
        )
    if per_token:
        likely = max(0, room - num_ranks * fit.RUNTIME_BYTES) // per_token
        _refuse_tokens(config, settings, room // per_token, likely)


def _refuse_share(gpu: Gpu, share: float) -> None:
    wanted = int(gpu.total_bytes * share)
    if gpu.is_integrated or wanted <= gpu.free_bytes:
        return
    fitting = math.floor(100 * gpu.free_bytes / gpu.total_bytes) / 100
    advice = "Free memory of it, or take another GPU (CUDA_VISIBLE_DEVICES)."
    if fitting > 0:
        advice = f"Take --gpu-memory-utilization {fitting:g}, or free memory of it."
    raise StartupError(
        f"vLLM would take {share:g} of the memory of {gpu.name}, {_gb(wanted)} of "
        f"{_gb(gpu.total_bytes)}, and {_gb(gpu.free_bytes)} are free: others use it. {advice}"
    )


def _refuse_tokens(
    config: Mapping[str, Any], settings: EngineSettings, most: int, likely: int
) -> None:
    """Refuse lengths beyond ``most`` tokens, which is what weights alone would leave room for.

    Args:
        likely: tokens that a step would leave room for, too.
    """
    if settings.kv_cache_tokens is not None and settings.kv_cache_tokens > most:
        raise StartupError(
            f"--kv-cache-tokens {settings.kv_cache_tokens}: beside the weights there is room for "
            f"fewer than {most}. Take about {likely}."
        )
    asked = settings.max_model_len
    most, likely = (min(tokens, settings.kv_cache_tokens or tokens) for tokens in (most, likely))
    if asked is not None and asked > most and not _has_windows(config):
        raise StartupError(
            f"--max-model-len {asked} does not fit: the KV cache holds at most {most} tokens. "
            f"Take about {likely}, or leave it out, and the context is what fits."
        )


def _has_windows(config: Mapping[str, Any]) -> bool:
    """Whether some layers keep a part of the context alone, which takes less than all of it."""
    nested = config.get("text_config")
    text = nested if isinstance(nested, Mapping) else config
    kinds = set(text.get("layer_types") or ()) - {"full_attention"}
    return bool(kinds or text.get("sliding_window") or text.get("attention_chunk_size"))


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
