"""Before the engine serves: learn shapes, size the KV cache, check the arithmetic, take memory.

The check is the catch-all for models that attend in ways nobody thought of: the logits of random
prompts, in chunks and mixed through our path, against the model's own forward.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

import torch
from transformers import PretrainedConfig, PreTrainedModel

from serve import timeline
from serve.engine.protocol import EngineRequest, SamplingParams
from serve.engine.settings import EngineSettings
from serve.engine.transformers.kv_cache import BLOCK_SIZE, LayerShape
from serve.engine.transformers.layers import attention
from serve.engine.transformers.layers.sizes import rounded
from serve.engine.transformers.model_runner import ModelRunner
from serve.engine.transformers.sequence import Segment, SequenceState
from serve.errors import StartupError

_KV_SHARE = 0.4
"""Most of the free memory that the KV cache takes when nobody says how large it shall be."""

_TOLERANCE = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 12e-2}
"""Relative L2 distance of logits; a wrong mask or scale is an order of magnitude beyond it. In
bfloat16 transformers' own logits are up to 0.06 from those of the same weights in float32.
"""

_QUANTIZED_TOLERANCE = 0.2
"""Activations that rounding moves over the edge of a step of 8 bits move by the whole step: 0.07
was seen with random weights, 24 layers deep.
"""

_CHECK_LENGTHS = (41, 23)
_BLOCKS_EACH = 2
_LEAST_BLOCKS = _BLOCKS_EACH * len(_CHECK_LENGTHS)
"""Of the KV cache, so that the check fits."""

_MOST_SIZES_S = 0.5
"""After so long no further size is begun. The demo model takes 0.35 s for all sizes up to 512."""


def layer_shapes(model: PreTrainedModel) -> dict[int, LayerShape]:
    """Sizes of what each layer's attention stores per token, by layer index.

    Raises:
        StartupError: a layer attends in a way that the engine does not implement.
    """
    attention.register()
    probe = attention.Probe()
    model.set_attn_implementation(attention.PROBE)
    tokens = torch.zeros(1, 4, dtype=torch.int64, device=model.device)
    positions = torch.arange(4, device=model.device)[None]
    try:
        with torch.inference_mode():
            model(input_ids=tokens, position_ids=positions, use_cache=False, probe=probe)
    except (attention.UnsupportedAttention, TypeError) as error:
        raise _mismatch(str(error)) from error
    config = model.config.get_text_config()
    _check_layers(config, probe.shapes)
    return probe.shapes


def choose_lengths(
    settings: EngineSettings, *, model_max_len: int, bytes_per_token: int, free_bytes: int | None
) -> tuple[int, int]:
    """``max_model_len`` and the number of KV cache blocks.

    Raises:
        StartupError: what was asked for does not fit the model or the memory.
    """
    max_model_len = settings.max_model_len or model_max_len
    if max_model_len > model_max_len:
        raise StartupError(
            f"--max-model-len {max_model_len} is more than the model's own {model_max_len}."
        )
    if settings.kv_cache_tokens is not None:
        num_blocks = settings.kv_cache_tokens // BLOCK_SIZE
        if free_bytes is not None and settings.kv_cache_tokens * bytes_per_token > free_bytes:
            raise StartupError(
                f"--kv-cache-tokens {settings.kv_cache_tokens} needs "
                f"{settings.kv_cache_tokens * bytes_per_token / 1e9:.1f} GB; "
                f"{free_bytes / 1e9:.1f} GB are free."
            )
    else:
        num_blocks = settings.num_seqs * -(-max_model_len // BLOCK_SIZE)
        if free_bytes is not None:
            num_blocks = min(
                num_blocks, int(free_bytes * _KV_SHARE) // (bytes_per_token * BLOCK_SIZE)
            )
    capacity = num_blocks * BLOCK_SIZE
    if num_blocks < _LEAST_BLOCKS or (settings.max_model_len and capacity < max_model_len):
        raise StartupError(
            f"The KV cache holds {capacity} tokens and one sequence may have {max_model_len} "
            f"({bytes_per_token} bytes each). Raise --kv-cache-tokens (at least "
            f"{_LEAST_BLOCKS * BLOCK_SIZE}), "
            "lower --max-model-len, or free memory."
        )
    return min(max_model_len, capacity), num_blocks


def reference_logits(model: PreTrainedModel) -> list[torch.Tensor]:
    """Last logits ``[V]`` of the check's prompts, by the model as it was loaded.

    Raises:
        StartupError: they are no numbers.
    """
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        logits = [
            model(input_ids=torch.tensor([prompt], device=model.device), use_cache=False).logits[
                0, -1
            ]
            for prompt in _check_prompts(model)
        ]
    if not all(bool(one.isfinite().all()) for one in logits):
        name = str(model.dtype).removeprefix("torch.")
        raise StartupError(
            f"The model's own logits hold NaN or infinity in {name}: a weight is damaged, a value "
            "of config.json cannot be computed with, or the type is too narrow for it. Fetch the "
            "model anew, or take --dtype float32."
        )
    return logits


def check_arithmetic(
    model: PreTrainedModel,
    runner: ModelRunner,
    expected: Sequence[torch.Tensor],
    *,
    is_quantized: bool = False,
) -> None:
    """Compare our path's logits with ``reference_logits``.

    Raises:
        StartupError: they differ.
    """
    try:
        actual = _in_chunks(runner, _check_prompts(model))
    except (attention.UnsupportedAttention, TypeError, AttributeError) as error:
        raise _mismatch(str(error)) from error
    tolerance = _QUANTIZED_TOLERANCE if is_quantized else _TOLERANCE[model.dtype]
    for ours, theirs in zip(actual, expected, strict=True):
        distance = float((ours.float() - theirs.float()).norm() / theirs.float().norm())
        if not distance <= tolerance:  # NaN is a mismatch too
            raise _mismatch(f"logits differ by {distance:.3f} of their size")


def run_sizes(
    runner: ModelRunner, most_tokens: int, *, clock: Callable[[], float] = timeline.now
) -> None:
    """Compute one prompt of each size up to ``most_tokens``, the short ones first, as time allows.

    The memory and the kernels that steps need are taken now: first prompts do not wait for them,
    and the server is as large when it is ready as it will be (ADR 0032).

    Args:
        runner: with a KV cache that nobody uses yet.
        most_tokens: of one step, and no more than the cache holds.
        clock: monotonic seconds.
    """
    begun_at = clock()
    num_tokens = 0
    while num_tokens < most_tokens and clock() - begun_at < _MOST_SIZES_S:
        num_tokens = min(rounded(num_tokens + 1), most_tokens)
        sequence = _sequence(0, [0] * num_tokens)
        sequence.block_ids = list(range(-(-num_tokens // BLOCK_SIZE)))
        runner.logits([Segment(sequence, 0, num_tokens)])


def _check_prompts(model: PreTrainedModel) -> list[list[int]]:
    source = random.Random(0)
    vocab_size = model.config.get_text_config().vocab_size
    return [[source.randrange(vocab_size) for _ in range(size)] for size in _CHECK_LENGTHS]


def _in_chunks(runner: ModelRunner, prompts: list[list[int]]) -> list[torch.Tensor]:
    """Last logits ``[V]`` per prompt, each prompt in three parts, the last one a decode."""
    results = {}
    sequences = [_sequence(index, prompt[:-1]) for index, prompt in enumerate(prompts)]
    for sequence, prompt in zip(sequences, prompts, strict=True):
        sequence.append(prompt[-1])  # as if it had been generated
    for part in range(3):
        segments = []
        for sequence in sequences:
            size = len(sequence.token_ids)
            bounds = (0, size // 2, size - 1, size)
            segments.append(Segment(sequence, bounds[part], bounds[part + 1] - bounds[part]))
        logits = runner.logits(segments)
        if part == 2:
            results = dict(zip(sequences, logits, strict=True))
    return [results[sequence] for sequence in sequences]


def _sequence(index: int, prompt: list[int]) -> SequenceState:
    request = EngineRequest(
        request_id=f"check-{index}",
        prompt_token_ids=prompt,
        sampling=SamplingParams(max_tokens=1, temperature=0),
    )
    blocks = [_BLOCKS_EACH * index + offset for offset in range(_BLOCKS_EACH)]
    return SequenceState(request=request, stop_token_ids=frozenset(), block_ids=blocks)


def _check_layers(config: PretrainedConfig, shapes: Mapping[int, LayerShape]) -> None:
    if set(shapes) != set(range(config.num_hidden_layers)):
        raise _mismatch(f"{len(shapes)} of {config.num_hidden_layers} layers attend")
    for index, kind in enumerate(getattr(config, "layer_types", None) or ()):
        if kind == "sliding_attention" and shapes[index].sliding_window is None:
            raise _mismatch(f"layer {index} has a sliding window that it does not pass on")


def _mismatch(detail: str) -> StartupError:
    return StartupError(
        "This model computes attention in a way this engine does not support: " + detail + "."
    )
