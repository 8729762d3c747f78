"""Continuous batching of our own over the forward of a Hugging Face causal language model.

::

    stream() ── SequenceState ──▶ StepLoop (a thread)
                                    Scheduler.schedule() ─▶ segments
                                    ModelRunner.step()   ─▶ one forward: decodes and prompt chunks
    Mailbox ◀── Delivery ◀── CrossThreadDelivery ── once per step: sampled tokens

ADR 0003 says why it is our own, with the measurements.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from pathlib import Path

import torch

from serve.engine.delivery import CrossThreadDelivery
from serve.engine.protocol import (
    Capability,
    EngineInfo,
    EngineLoad,
    EngineRequest,
    Progress,
    TokenChunk,
)
from serve.engine.request_check import check_request
from serve.engine.settings import EngineSettings
from serve.engine.transformers import loaded_model, prompt_logprobs, warm_up
from serve.engine.transformers.grammar_mask import GrammarMask
from serve.engine.transformers.kv_cache import BLOCK_SIZE
from serve.engine.transformers.layers import attention
from serve.engine.transformers.loaded_model import LoadedModel
from serve.engine.transformers.loader import served_dtypes
from serve.engine.transformers.model_runner import ModelRunner
from serve.engine.transformers.prefix_store.opening import prefix_store_of
from serve.engine.transformers.prompt_lookup import PromptLookup
from serve.engine.transformers.scheduler import Scheduler
from serve.engine.transformers.sequence import SequenceState
from serve.engine.transformers.step_loop import StepLoop
from serve.errors import EngineDeadError, StartupError

log = logging.getLogger(__name__)

_CAPABILITIES: frozenset[Capability] = frozenset(
    {
        "logprobs",
        "prompt_logprobs",
        "seed",
        "min_p",
        "logit_bias",
        "penalties",
        "token_rules",
    }
)


class TransformersEngine:
    """An ``Engine``. Made by ``from_folder``; the parts are the engine's from then on."""

    def __init__(
        self,
        loaded: LoadedModel,
        info: EngineInfo,
        scheduler: Scheduler,
        runner: ModelRunner,
        delivery: CrossThreadDelivery,
        *,
        forces_tokens: bool = True,
        save_prefixes: Callable[[], None] | None = None,
        most_guesses: int = 0,
    ) -> None:
        self._save_prefixes = save_prefixes
        self._loaded: LoadedModel | None = loaded
        self._info = info
        self._runner: ModelRunner | None = runner
        self._compiler = loaded.compiler
        self._most_guesses = most_guesses
        self._steps = StepLoop(scheduler, runner.step, delivery, forces_tokens=forces_tokens)

    @classmethod
    def from_folder(
        cls, path: Path, settings: EngineSettings, progress: Progress
    ) -> TransformersEngine:
        """Load, size, check and start. Blocks for as long as it takes: call it in a thread.

        Reports the phases ``load_weights`` (bytes), ``allocate_kv`` and ``warm_up``.

        Raises:
            StartupError: the model is of a kind that this engine does not run, or does not fit.
        """

        def make() -> TransformersEngine:
            return cls._started(loaded_model.load(path, settings, progress), settings, progress)

        return loaded_model.in_a_thread_that_ends(make)

    def salvage(self, settings: EngineSettings) -> Callable[[], TransformersEngine] | None:
        """Take out what another engine can use, the model, before this one is closed.

        Returns:
            Makes an engine over that model, without reading a weight: once, in any thread, after
            this engine is closed and its cache freed. It checks the model's arithmetic as a start
            does, and raises StartupError where the model is harmed or memory is short. None where
            there is no model any more.
        """
        loaded, started = self._loaded, TransformersEngine._started
        if loaded is None:
            return None
        return lambda: loaded_model.in_a_thread_that_ends(
            lambda: started(loaded, settings, lambda *_: None)
        )

    @classmethod
    def _started(
        cls, loaded: LoadedModel, settings: EngineSettings, progress: Progress
    ) -> TransformersEngine:
        model = loaded.model
        max_model_len, cache = loaded_model.kv_cache(model, loaded.max_len, settings, progress)
        progress("warm_up", 0, 1)
        model.set_attn_implementation(attention.IMPLEMENTATION)
        runner = ModelRunner(model, cache)
        is_quantized = loaded.declared is not None
        warm_up.check_arithmetic(model, runner, loaded.expected, is_quantized=is_quantized)
        served_dtypes.check(model, loaded.declared)
        cost = loaded_model.warmed_up(model, runner, settings, max_model_len, cache)
        progress("warm_up", 1, 1)

        info = EngineInfo(
            name="transformers",
            max_model_len=max_model_len,
            max_num_seqs=settings.num_seqs,
            kv_cache_tokens=cache.num_blocks * BLOCK_SIZE,
            vocab_size=model.config.get_text_config().vocab_size,
            eos_token_ids=loaded.eos_token_ids,
            capabilities=_capabilities(loaded, settings),
            dtype=served_dtypes.describe(model, model.dtype),
            device=model.device.type,
            num_parameters=loaded.num_parameters,
            weight_bytes=served_dtypes.resident_bytes(model),
            cache_block_size=BLOCK_SIZE,
            has_exact_prefixes=True,
            prompt_chunk=None if cost is None else cost.first_chunk,
        )
        scheduler = Scheduler(
            num_blocks=cache.num_blocks,
            block_size=BLOCK_SIZE,
            max_num_seqs=settings.num_seqs,
            max_num_batched_tokens=settings.step_tokens,
            is_repeatable=runner.is_repeatable,
            is_exact=runner.is_exact,
            keeps_prefixes=settings.enable_prefix_caching,
            max_logprob_tokens=prompt_logprobs.most_rows(info.vocab_size),
            cost=cost,
        )
        store = prefix_store_of(settings, info.dtype, cache, model.device)
        if store is not None:
            num_tokens = store.load(scheduler.blocks, cache)
            info = replace(info, loaded_prefix_tokens=num_tokens)
        delivery = CrossThreadDelivery(settings.max_hold_s)
        if settings.transformers.prompt_lookup and not runner.takes_guesses:
            log.warning("no prompt lookup: this model's steps are not in compiled loops here")
        return cls(
            loaded,
            info,
            scheduler,
            runner,
            delivery,
            forces_tokens=settings.forces_tokens,
            save_prefixes=None
            if store is None
            else functools.partial(store.save, scheduler.blocks, cache),
            most_guesses=settings.transformers.most_guesses if runner.takes_guesses else 0,
        )

    @property
    def info(self) -> EngineInfo:
        return self._info

    @property
    def runner(self) -> ModelRunner:
        """The runner, for measurements while no stream is open: the step thread owns it otherwise.

        Raises:
            EngineDeadError: the engine is closed.
        """
        if self._runner is None:
            raise EngineDeadError("The engine is closed.")
        return self._runner

    def force_tokens(self, *, is_on: bool) -> None:
        """Turn forced tokens on or off, for measurements while no stream is open."""
        self._steps.forces_tokens = is_on

    def guess_tokens(self, *, most: int) -> None:
        """Set the most guesses of streams from now on, 0 for none, for measurements."""
        self._most_guesses = most

    def load(self) -> EngineLoad:
        return self._steps.load()

    async def stream(self, request: EngineRequest) -> AsyncGenerator[TokenChunk, None]:
        """See ``Engine.stream``. Nothing is taken before the first chunk is asked for."""
        check_request(self._info, request)
        mask = await self._mask(request)
        stops = request.sampling.stop_token_ids
        if not request.sampling.ignore_eos:
            stops |= self._info.eos_token_ids
        lookup = PromptLookup(self._most_guesses) if self._most_guesses else None
        sequence = SequenceState(request=request, stop_token_ids=stops, mask=mask, lookup=lookup)
        mailbox = self._steps.mailbox()
        self._steps.submit(sequence, mailbox)
        is_open = True
        try:
            while is_open:
                chunk = await mailbox.take()
                if not mailbox.cached_tokens and sequence.num_cached:
                    mailbox.cached_tokens = sequence.num_cached
                    chunk = replace(chunk, cached_tokens=sequence.num_cached)
                if sequence.prompt_logprobs is not None:
                    chunk = replace(chunk, prompt_logprobs=sequence.prompt_logprobs)
                    sequence.prompt_logprobs = None
                is_open = chunk.finish_reason is None
                yield chunk
        finally:
            if is_open:
                self._steps.cancel(sequence)

    async def _mask(self, request: EngineRequest) -> GrammarMask | None:
        """The mask of the request's grammar. Raises InvalidRequest where it is no grammar."""
        grammar, compiler = request.sampling.grammar, self._compiler
        if grammar is None or compiler is None:
            return None
        return GrammarMask(await compiler.matcher(grammar), compiler, grammar)

    async def check_health(self) -> None:
        self._steps.check_health()

    async def close(self) -> None:
        """See ``Engine.close``.

        Raises:
            StartupError: a step does not return. Its thread cannot be ended and holds the weights,
                so this process cannot have another engine.
        """
        if not await asyncio.to_thread(self._steps.close):
            raise StartupError(
                "A step of the engine does not return, and its memory cannot be freed while it "
                "runs. The process has to end; start it again."
            )
        save, self._save_prefixes = self._save_prefixes, None
        if save is not None and self._steps.has_computed:
            await asyncio.to_thread(save)
        del save
        # A stream that nobody reads holds this object; it shall not hold the memory.
        self._loaded = self._runner = None
        if self._info.device == "cuda":
            gc.collect()
            torch.cuda.empty_cache()


def _capabilities(loaded: LoadedModel, settings: EngineSettings) -> frozenset[Capability]:
    more: set[Capability] = set()
    if loaded.compiler is not None:
        more.add("grammar")
    if settings.enable_prefix_caching:
        more.add("prefix_cache")
    return _CAPABILITIES | more
