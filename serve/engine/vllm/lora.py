"""LoRA adapters on vLLM: checked before it starts, counted into its sizes, loaded as it starts.

vLLM itself would take much on trust: it looks at the last part of a layer's name only, and copies
matrices that are too small into a corner of their place. So every tensor is held against the
model's own weights here (models/adapter.py). No vLLM in here: what is needed of it is handed in.

On a CPU one slot more than ``max_loras`` is asked for, and stays empty. vLLM 0.32 marks tokens of
the plain model with slot -1, and its CPU kernels read that as the last slot: in a batch with
adapters the plain model would answer with the last adapter's weights. Measured: docs/lab-notes.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models import adapter as folders
from models.errors import ModelError
from models.rules.safetensors_header import TensorEntry
from serve.engine.model_files import Checkpoint
from serve.engine.settings import VllmSettings
from serve.errors import StartupError

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Values of ``max_lora_rank`` that vLLM takes."""
MAX_SLOTS = 8
"""Adapters that run in one batch unless --max-loras says otherwise: each slot takes memory."""
FLOAT_BYTES = 4
POLL_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraPlan:
    """Adapters and the places that vLLM is to have for them.

    Attributes:
        paths: absolute folders of the adapters, by name.
        arguments: for ``AsyncEngineArgs``; none where there are no adapters.
        num_bytes: what the places for adapters take, at most.
    """

    paths: Mapping[str, Path]
    arguments: Mapping[str, Any]
    num_bytes: int = 0


def plan(model: Checkpoint, settings: VllmSettings, device: str) -> LoraPlan:
    """Check every adapter, and size vLLM's places for them.

    Args:
        model: that they adapt.
        device: vLLM's word for it: ``cpu``, ``cuda``.

    Raises:
        StartupError: an adapter is refused, does not fit the model, or exceeds a bound.
    """
    if not settings.adapters:
        return LoraPlan(paths={}, arguments={})
    weights = {name: tensor.entry for name, tensor in model.tensors.items()}
    adapters = {
        name: _read(name, path, model.folder.name, weights) for name, path in settings.adapters
    }
    rank = _max_rank(adapters, settings.max_lora_rank)
    slots = settings.max_loras or min(
        len(adapters), MAX_SLOTS if device != "cpu" else len(adapters)
    )
    if device == "cpu":
        if slots < len(adapters):
            raise StartupError(
                f"--max-loras is {slots} and there are {len(adapters)} adapters: on a CPU vLLM "
                f"needs a place for each. Leave --max-loras out, or give at least {len(adapters)}."
            )
        slots += 1
    return LoraPlan(
        paths={name: adapter.path for name, adapter in adapters.items()},
        arguments={
            "enable_lora": True,
            "max_loras": slots,
            "max_cpu_loras": max(slots, len(adapters)),
            "max_lora_rank": rank,
        },
        # vLLM makes a place at every layer, whether an adapter has something for it or not.
        num_bytes=slots * rank * FLOAT_BYTES * sum(map(_num_sides, weights.values())),
    )


def _num_sides(weight: TensorEntry) -> int:
    """Inputs and outputs of a layer: so many numbers a rank."""
    return sum(weight.shape) if len(weight.shape) == 2 else 0


def _read(
    name: str, path: Path, model_name: str, weights: Mapping[str, TensorEntry]
) -> folders.Adapter:
    try:
        adapter = folders.read(path.resolve())
        misfit = folders.misfit(adapter, weights)
    except (ModelError, OSError, ValueError) as error:
        raise StartupError(f"--lora {name}: {error}") from None
    if misfit is not None:
        raise StartupError(
            f"--lora {name}: the adapter {path} does not fit {model_name}: {misfit}. Take the "
            "model that it was trained on."
        )
    return adapter


def _max_rank(adapters: Mapping[str, folders.Adapter], max_lora_rank: int | None) -> int:
    """The rank asked for, or the adapters' own, rounded up to one that vLLM takes."""
    name, needed = max(
        ((name, adapter.rank) for name, adapter in adapters.items()), key=lambda pair: pair[1]
    )
    if max_lora_rank is not None and max_lora_rank < needed:
        raise StartupError(
            f"--max-lora-rank is {max_lora_rank}, and the adapter {name} has rank {needed}. Leave "
            f"it out, or give at least {needed}."
        )
    return next(rank for rank in RANKS if rank >= (max_lora_rank or needed))


async def preload(llm: Any, requests: Iterable[Any]) -> str | None:
    """Load adapters now, so that a broken one fails the start and not a request.

    Runs in an event loop of its own, before the server's: what vLLM bound to this one is taken
    back at the end, and bound anew by the first stream.

    Args:
        llm: vLLM's ``AsyncLLM``, which has served nothing yet.
        requests: vLLM's ``LoRARequest`` of each adapter.

    Returns:
        What went wrong, or None.
    """
    client = llm.engine_core
    fault = None
    for request in requests:
        adding = asyncio.create_task(llm.add_lora(request))
        while not adding.done() and not client.resources.engine_dead:
            await asyncio.wait({adding}, timeout=POLL_S)
        if not adding.done():
            adding.cancel()
            fault = f"--lora {request.lora_name}: the engine died while it loaded the adapter"
        elif (error := adding.exception()) is not None:  # a bare Exception, by vLLM's design
            fault = f"--lora {request.lora_name}: vLLM cannot load the adapter: {str(error)[:800]}"
        if fault is not None:
            break
    await unbind(client)
    return fault


async def unbind(client: Any) -> None:
    """Take back what vLLM's core client bound to the running event loop."""
    task = client.resources.output_queue_task
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    client.resources.output_queue_task = None
    client.outputs_queue = asyncio.Queue()  # the cancelled task reported a death into the old one
