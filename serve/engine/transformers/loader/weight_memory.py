"""Refuses models that do not fit into free memory: their weights, and the KV cache asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from models.errors import UnknownShapeError
from models.memory import fit, host_memory, shapes, sizes, stored_numbers
from models.memory.attention_shapes import attention_layers
from serve.engine.model_files import Checkpoint, WeightFiles
from serve.engine.settings import EngineSettings
from serve.engine.transformers.loader import placing
from serve.errors import StartupError


def refuse(
    checkpoint: Checkpoint,
    settings: EngineSettings,
    *,
    dtype: torch.dtype,
    device: torch.device,
) -> None:
    """Refuse a model for which there is too little memory, before its weights are read.

    Raises:
        StartupError: for the weights, or for the KV cache that is asked for beside them.
    """
    folder, config = checkpoint.folder, checkpoint.config
    needed = resident_bytes(config, checkpoint.files, dtype=dtype)
    if device.type == "cuda" and not checkpoint.is_quantized:
        _refuse_host(folder, placing.most_bytes_held(checkpoint.files.tensors, dtype.itemsize))
    free = free_bytes(device)
    if free is None:
        return
    if needed > free:
        raise StartupError(
            f"Not enough memory: {folder.name} needs {needed / 1e9:.1f} GB for its weights in "
            f"{str(dtype).removeprefix('torch.')}, and {free / 1e9:.1f} GB are free on "
            f"{device.type}. Take a smaller or quantised model, or free memory."
        )
    _refuse_cache(config, settings, dtype=dtype, left_bytes=free - needed)


def _refuse_host(folder: Path, needed: int) -> None:
    """Refuse weights whose largest piece the host cannot hold on its way to the GPU.

    Raises:
        StartupError: it would not fit.
    """
    free = host_memory.available_bytes()
    if free is not None and needed > free:
        raise StartupError(
            f"Not enough memory: the largest weight of {folder.name} is {needed / 1e9:.1f} GB. It "
            f"passes through the host's memory, where {free / 1e9:.1f} GB are free. Take a "
            "smaller or quantised model, or free memory."
        )


def free_bytes(device: torch.device) -> int | None:
    """Memory still free on the device; None where it is not known.

    What torch keeps of a GPU for later counts as free: it is given back first.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return int(torch.cuda.mem_get_info(device)[0])
    return host_memory.available_bytes()


def resident_bytes(config: Mapping[str, Any], files: WeightFiles, *, dtype: torch.dtype) -> int:
    """Bytes of the weights once they are loaded.

    Args:
        config: config.json.
        files: of the folder; they count where config.json does not tell.
        dtype: in which the weights are held.
    """
    if config.get("quantization_config") is not None:  # the files are what is held
        return files.total_bytes
    try:
        shape = shapes.read(config)
    except UnknownShapeError:
        return stored_numbers.count(config, files.tensors) * dtype.itemsize
    return sizes.weights_bytes(shape, item_bytes=dtype.itemsize)


def _refuse_cache(
    config: Mapping[str, Any], settings: EngineSettings, *, dtype: torch.dtype, left_bytes: int
) -> None:
    """Refuse lengths that cannot fit beside the weights before those are read.

    ``warm_up.choose_lengths`` asks again, with what is really left by then.

    Raises:
        StartupError: --kv-cache-tokens or --max-model-len needs more than is left.
    """
    try:
        layers = attention_layers(config)
    except UnknownShapeError:
        return
    per_token = sizes.kv_bytes_per_token(layers, item_bytes=dtype.itemsize, has_latents=False)
    if settings.kv_cache_tokens is not None:
        flag, tokens, room = "--kv-cache-tokens", settings.kv_cache_tokens, left_bytes
    elif settings.max_model_len is not None:
        flag, tokens = "--max-model-len", settings.max_model_len
        room = int(left_bytes * fit.CPU_KV_SHARE)
    else:
        return
    if tokens * per_token > room:
        raise StartupError(
            f"{flag} {tokens} needs a KV cache of {tokens * per_token / 1e9:.1f} GB; "
            f"{room / 1e9:.1f} GB are free for it beside the weights. Lower it, or free memory."
        )
