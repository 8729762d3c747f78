"""Whether a model fits into a memory, for how many sequences and of what length. Pure arithmetic.

What is assumed beside weights and KV cache (models/memory/sizes.py), and printed with each answer:

- A GPU is served by vLLM. It takes ``GPU_SHARE`` of the memory for all it does, keeps MLA's
  latents and frees what a sliding window has passed. Beside weights and cache it needs
  ``RUNTIME_BYTES`` for its context, kernels and captured graphs, and room for one step's
  activations.
- A CPU is served by our own batching. It keeps every token of every head, and gives the KV cache
  ``CPU_KV_SHARE`` of what the weights leave free.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from models.errors import FitError
from models.memory import shapes, sizes
from models.memory.shapes import ModelShape
from models.refs import OtherScheme, Scheme
from models.stored_config import stated_dtype

GPU_SHARE = 0.92
"""Share of a GPU's memory that vLLM takes unless told otherwise."""
CPU_KV_SHARE = 0.4
"""Share of the free memory that our own batching gives to its KV cache."""
RUNTIME_BYTES = 1 << 30
"""Code, context and compiled kernels of a process that runs a model."""
CPU_STEP = (512, 32)
"""Most tokens and sequences of one step on a CPU: the server's defaults."""
GPU_STEP = (2048, 256)
"""The same on a GPU, by vLLM's defaults for a server."""
LARGER_GPU_STEPS = ((160 << 30, (16_384, 1024)), (70 << 30, (8192, 1024)))
"""Those from so many bytes of memory on. An A100 of 80 GB, which a size does not tell, keeps the
smaller. Source: the defaults in the engine arguments of vLLM 0.32.
"""
GPU_BLOCK, CPU_BLOCK = 16, 32
"""Tokens of a block of the KV cache, which is never shared between sequences."""


class Place(StrEnum):
    """The device that a model would run on."""

    GPU = "gpu"
    CPU = "cpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A model, and the load that it is to carry.

    Attributes:
        config: the model's config.json.
        weights_bytes: of the stored weights, where they are here and already quantised; they stand
            in place of the computed ones.
        own_weights_bytes: the same as our own batching holds them (models/memory/
            stored_weights.py); None takes ``weights_bytes``.
        kv_item_bytes: of a number in the KV cache; None takes the model's own type.
        context: most tokens of a sequence; None takes the model's own.
        concurrency: sequences at once.
        num_gpus: that share each layer.
    """

    config: Mapping[str, Any]
    weights_bytes: int | None = None
    own_weights_bytes: int | None = None
    kv_item_bytes: int | None = None
    context: int | None = None
    concurrency: int = 1
    num_gpus: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Costs that do not depend on the memory. Bytes are those of one device."""

    scheme: Scheme
    num_parameters: int
    dtype: str
    weights_bytes: int
    kv_bytes_per_token: int
    kv_bytes_per_sequence: int
    context: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The fit of a model into one memory.

    Attributes:
        memory_bytes: of one device.
        usable_bytes: what the server would take of it.
        overhead_bytes: assumed beside weights and KV cache.
        kv_room_bytes: what is left for the KV cache; negative where the weights do not fit.
        longest_context: for ``concurrency`` sequences at once; 0 where none fits.
        sequences: that fit at the full context.
    """

    place: Place
    memory_bytes: int
    usable_bytes: int
    overhead_bytes: int
    kv_room_bytes: int
    concurrency: int
    longest_context: int
    sequences: int
    weights: Weights = field(repr=False)


def weights(request: Request, scheme: Scheme, place: Place = Place.GPU) -> Weights:
    """Bytes of weights and KV cache on one device.

    Raises:
        UnknownShapeError: config.json does not describe the model.
        FitError: the model cannot be shared by so many devices, or takes no such context.
    """
    shape = shapes.read(request.config)
    if shape.num_heads % request.num_gpus:
        raise FitError(
            f"--tp {request.num_gpus} does not divide this model's {shape.num_heads} attention "
            "heads. Take a number that does."
        )
    context = _context(request, shape)
    dtype = dtype_of(request.config)
    item = sizes.DTYPE_BYTES[dtype]
    if request.weights_bytes is not None:
        own = request.own_weights_bytes if place is Place.CPU else None
        size = -(-(own or request.weights_bytes) // request.num_gpus)
    elif isinstance(scheme, OtherScheme):
        raise FitError(f"what {scheme} weights take is known of weights that are here alone.")
    else:
        size = sizes.weights_bytes(
            shape,
            scheme,
            item_bytes=item,
            num_gpus=request.num_gpus,
            by_vllm=place is Place.GPU,
        )
    sequence = _per_sequence(shape, request, place)
    return Weights(
        scheme=scheme,
        num_parameters=shape.num_parameters,
        dtype=dtype,
        weights_bytes=size,
        kv_bytes_per_token=sizes.kv_bytes_per_token(
            shape.layers,
            item_bytes=request.kv_item_bytes or item,
            has_latents=place is Place.GPU,
            num_gpus=request.num_gpus,
        ),
        kv_bytes_per_sequence=sequence(context),
        context=context,
    )


def gpu_step(memory_bytes: int) -> tuple[int, int]:
    """Most tokens and sequences of one step of vLLM's on a GPU of this memory."""
    return next((step for least, step in LARGER_GPU_STEPS if memory_bytes >= least), GPU_STEP)


def fit(request: Request, scheme: Scheme, place: Place, memory_bytes: int) -> Fit:
    """The fit of the model into ``memory_bytes`` of one device.

    Raises:
        UnknownShapeError: config.json does not describe the model.
        FitError: see ``weights``.
    """
    cost = weights(request, scheme, place)
    shape = shapes.read(request.config)
    step = CPU_STEP if place is Place.CPU else gpu_step(memory_bytes)
    overhead = RUNTIME_BYTES + activation_bytes(shape, sizes.DTYPE_BYTES[cost.dtype], step)
    share = GPU_SHARE if place is Place.GPU else 1.0
    usable = int(memory_bytes * share)
    room = usable - overhead - cost.weights_bytes
    if place is Place.CPU and room > 0:
        room = int(room * CPU_KV_SHARE)
    sequence = _per_sequence(shape, request, place)
    return Fit(
        place=place,
        memory_bytes=memory_bytes,
        usable_bytes=usable,
        overhead_bytes=overhead,
        kv_room_bytes=room,
        concurrency=request.concurrency,
        longest_context=_longest(sequence, cost.context, max(0, room) // request.concurrency),
        sequences=max(0, room) // sequence(cost.context),
        weights=cost,
    )


def activation_bytes(shape: ModelShape, item_bytes: int, step: tuple[int, int]) -> int:
    """An estimate of one step's largest intermediate results.

    The gated feed-forward holds two products and their result for each token of the step; the
    logits of each sequence are held in float32, and once more while they are sorted to sample.

    Args:
        step: most tokens and sequences of it.
    """
    tokens, sequences = step
    hidden = tokens * (3 * shape.intermediate_size + 4 * shape.hidden_size) * item_bytes
    return hidden + 2 * 4 * sequences * shape.vocab_size


def dtype_of(config: Mapping[str, Any]) -> str:
    """The type of the weights as config.json states it; float32 where it does not."""
    return stated_dtype(config) or "float32"


def _context(request: Request, shape: ModelShape) -> int:
    own = shape.context_length
    if request.context is None:
        if own is None:
            raise FitError("config.json states no context length. Give one with --context.")
        return own
    if own is not None and request.context > own:
        raise FitError(
            f"--context {request.context} is more than the model's own {own} tokens. Lower it."
        )
    return request.context


def _per_sequence(shape: ModelShape, request: Request, place: Place) -> Callable[[int], int]:
    """Bytes of a sequence of so many tokens, in whole blocks, on one device."""
    item = request.kv_item_bytes or sizes.DTYPE_BYTES[dtype_of(request.config)]
    block = GPU_BLOCK if place is Place.GPU else CPU_BLOCK

    def cost(num_tokens: int) -> int:
        return sizes.kv_bytes_per_sequence(
            shape.layers,
            -(-num_tokens // block) * block,
            item_bytes=item,
            has_windows=place is Place.GPU,
            has_latents=place is Place.GPU,
            num_gpus=request.num_gpus,
        )

    return cost


def _longest(cost: Callable[[int], int], most: int, room: int) -> int:
    """The largest number of tokens, at most ``most``, whose cost is within ``room``."""
    fits, too_long = 0, most + 1
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if cost(middle) <= room:
            fits = middle
        else:
            too_long = middle
    return fits
