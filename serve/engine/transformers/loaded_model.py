"""A model in memory, ready to step, from its folder; and the KV cache that fits beside it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from transformers import PreTrainedModel

from serve.engine import end_tokens
from serve.engine.grammars.background import BackgroundCompiler
from serve.engine.grammars.compiling import GrammarCompiler
from serve.engine.protocol import Progress
from serve.engine.settings import EngineSettings
from serve.engine.transformers import measured_cost, warm_up
from serve.engine.transformers.kv_cache import KVCache
from serve.engine.transformers.layers import bfloat16_linear, fused_linear
from serve.engine.transformers.loader import loading, served_dtypes, slow_layers, weight_memory
from serve.engine.transformers.loader.stored_scheme import DeclaredScheme
from serve.engine.transformers.model_runner import ModelRunner
from serve.engine.transformers.step_cost import StepCost


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model in memory, ready to step, and what is known of it: all that a revival needs.

    Attributes:
        expected: last logits of the check's prompts, by the model as it was loaded.
        max_len: most tokens that the model itself takes.
        compiler: of grammars; None where the tokenizer allows none.
    """

    model: PreTrainedModel
    expected: list[torch.Tensor]
    declared: DeclaredScheme | None
    max_len: int
    eos_token_ids: frozenset[int]
    num_parameters: int
    compiler: GrammarCompiler | None


_Result = TypeVar("_Result")


def in_a_thread_that_ends(work: Callable[[], _Result]) -> _Result:
    """The result of work that computes. Blocks.

    Each thread that computes has an OpenMP pool of its own, and with more threads in all than
    cores, those of a step would sleep at each of its barriers.
    """
    with ThreadPoolExecutor(1, "load") as loader:
        return loader.submit(work).result()


def load(path: Path, settings: EngineSettings, progress: Progress) -> LoadedModel:
    """The model of a folder. Raises StartupError as ``from_folder`` does."""
    checkpoint = loading.read_checkpoint(path)
    config = loading.read_config(checkpoint)
    eos_token_ids = end_tokens.eos_token_ids(path, config)
    compiler = BackgroundCompiler(
        path, vocab_size=config.get_text_config().vocab_size, eos_token_ids=eos_token_ids
    )
    checkpoint.tell_differences()
    device = loading.pick_device(settings.device)
    slow_layers.tell(loading.read_declared_scheme(checkpoint), device.type)
    model, declared = loading.load_model(
        checkpoint, config, settings=settings, device=device, progress=progress
    )
    num_parameters = served_dtypes.num_parameters(model)
    expected = warm_up.reference_logits(model)
    fused_linear.fuse(model)
    if device.type == "cpu":
        bfloat16_linear.install(model)
    return LoadedModel(
        model=model,
        expected=expected,
        declared=declared,
        max_len=loading.model_max_len(config),
        eos_token_ids=eos_token_ids,
        num_parameters=num_parameters,
        compiler=compiler.result(),
    )


def warmed_up(
    model: PreTrainedModel,
    runner: ModelRunner,
    settings: EngineSettings,
    max_model_len: int,
    cache: KVCache,
) -> StepCost | None:
    """Run some steps on a CPU. Returns what they cost, where that is to choose their sizes."""
    if model.device.type != "cpu":
        return None
    warm_up.run_sizes(runner, min(settings.step_tokens, max_model_len))
    if settings.max_num_batched_tokens is not None:
        return None
    return measured_cost.measure(runner, max_model_len=max_model_len, num_blocks=cache.num_blocks)


def kv_cache(
    model: PreTrainedModel, model_max_len: int, settings: EngineSettings, progress: Progress
) -> tuple[int, KVCache]:
    """The context length that is served, and the cache for it.

    Raises:
        StartupError: a layer attends in an unknown way, or the cache does not fit.
    """
    progress("allocate_kv", 0, 1)
    shapes = warm_up.layer_shapes(model)
    max_model_len, num_blocks = warm_up.choose_lengths(
        settings,
        model_max_len=model_max_len,
        bytes_per_token=sum(shape.bytes_per_token(model.dtype) for shape in shapes.values()),
        free_bytes=weight_memory.free_bytes(model.device),
    )
    cache = KVCache(shapes, num_blocks=num_blocks, dtype=model.dtype, device=model.device)
    progress("allocate_kv", 1, 1)
    return max_model_len, cache
