"""The fake engine: scripted, deterministic, without a model. For tests and for load on the front.

It keeps the whole contract of protocol.py, so what passes against it holds against a real engine.
It imports no torch. Not a simulator: every token costs the same, and prefill costs nothing.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from itertools import cycle
from typing import get_args

from serve.engine.bad_words import completing
from serve.engine.protocol import (
    Capability,
    EngineInfo,
    EngineLoad,
    EngineRequest,
    SamplingParams,
    TokenChunk,
    TokenLogprob,
)
from serve.engine.request_check import check_request
from serve.engine.settings import EngineSettings, FakeSettings
from serve.errors import EngineDeadError, InvalidRequest
from serve.timeline import FinishReason

_DEFAULT_MAX_MODEL_LEN = 32_768
_MOST_LEFT_OUT = 10_000


@dataclass(slots=True, eq=False)
class _Slot:
    """One stream's place: first in the queue, then in the batch."""

    num_kv_tokens: int
    granted: asyncio.Future[None] = field(repr=False)


class FakeEngine:
    """An ``Engine`` that needs no weights. Streams share nothing but the slots."""

    def __init__(self, settings: EngineSettings | None = None) -> None:
        settings = settings or EngineSettings()
        self._fake: FakeSettings = settings.fake
        max_model_len = settings.max_model_len or settings.kv_cache_tokens or _DEFAULT_MAX_MODEL_LEN
        kv_cache_tokens = settings.kv_cache_tokens or settings.num_seqs * max_model_len
        self._info = EngineInfo(
            name="fake",
            max_model_len=min(max_model_len, kv_cache_tokens),
            max_num_seqs=settings.num_seqs,
            kv_cache_tokens=kv_cache_tokens,
            vocab_size=self._fake.vocab_size,
            eos_token_ids=self._fake.eos_token_ids,
            capabilities=frozenset(get_args(Capability)) - {"prefix_cache", "grammar"},
            dtype="none",
            device="none",
            adapters=self._fake.adapters,
        )
        self._avoided = self._fake.eos_token_ids | self._fake.avoided_token_ids
        self._waiting: deque[_Slot] = deque()
        self._running: set[_Slot] = set()
        self._kv_reserved = 0
        self._num_steps = 0
        self._tokens_until_death = self._fake.die_after
        self._death: str | None = None
        self._waiters: set[asyncio.Future[None]] = set()  # of streams whose tokens are not due yet

    @property
    def info(self) -> EngineInfo:
        return self._info

    def load(self) -> EngineLoad:
        return EngineLoad(
            num_running=len(self._running),
            num_waiting=len(self._waiting),
            kv_cache_usage=self._kv_reserved / self._info.kv_cache_tokens,
            num_steps=self._num_steps,
        )

    async def stream(self, request: EngineRequest) -> AsyncGenerator[TokenChunk, None]:
        """See ``Engine.stream``. Nothing is taken before the first chunk is asked for."""
        check_request(self._info, request)
        self._raise_if_dead()
        needed = len(request.prompt_token_ids) + request.sampling.max_tokens
        slot = _Slot(needed, asyncio.get_running_loop().create_future())
        self._waiting.append(slot)
        self._admit()
        try:
            await slot.granted
            async with aclosing(self._chunks(request)) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            self._leave(slot)

    async def check_health(self) -> None:
        self._raise_if_dead()

    async def close(self) -> None:
        self.die("The engine is closed.")

    def die(self, reason: str = "The engine stopped.") -> None:
        """End every open stream with EngineDeadError. Idempotent."""
        if self._death is not None:
            return
        self._death = reason
        for waiter in self._waiters:
            _wake(waiter)
        for slot in self._waiting:
            if not slot.granted.done():
                slot.granted.set_exception(EngineDeadError(reason))

    def _raise_if_dead(self) -> None:
        if self._death is not None:
            raise EngineDeadError(self._death)

    def _admit(self) -> None:
        """Grant slots first come, first served, while batch and KV cache have room."""
        while self._waiting and len(self._running) < self._info.max_num_seqs:
            slot = self._waiting[0]
            if self._kv_reserved + slot.num_kv_tokens > self._info.kv_cache_tokens:
                return
            self._waiting.popleft()
            self._running.add(slot)
            self._kv_reserved += slot.num_kv_tokens
            if not slot.granted.done():
                slot.granted.set_result(None)

    def _leave(self, slot: _Slot) -> None:
        if slot in self._running:
            self._running.remove(slot)
            self._kv_reserved -= slot.num_kv_tokens
        elif slot in self._waiting:
            self._waiting.remove(slot)
        self._admit()

    async def _chunks(self, request: EngineRequest) -> AsyncGenerator[TokenChunk, None]:
        sampling = request.sampling
        stops = sampling.stop_token_ids
        if not sampling.ignore_eos:
            stops |= self._info.eos_token_ids
        tokens = _ruled(self._tokens(request), sampling, stops)
        prompt_logprobs = _prompt_logprobs(request, self._info.vocab_size)
        num_left = sampling.max_tokens
        interval_s = 0.0 if self._fake.tokens_per_s is None else 1 / self._fake.tokens_per_s
        due_at = asyncio.get_running_loop().time()
        for size in cycle(self._fake.chunk_sizes):
            chunk: list[int] = []
            finish: FinishReason | None = None
            while len(chunk) < min(size, num_left) and finish is None:
                chunk.append(next(tokens))
                if chunk[-1] in stops:
                    finish = "stop"
            num_left -= len(chunk)
            if num_left == 0 and finish is None:
                finish = "length"
            due_at += len(chunk) * interval_s
            await self._pace(len(chunk), due_at)
            yield TokenChunk(
                token_ids=chunk,
                logprobs=_logprobs(chunk, sampling, self._info.vocab_size),
                prompt_logprobs=prompt_logprobs,
                finish_reason=finish,
            )
            prompt_logprobs = None
            if finish is not None:
                return

    async def _pace(self, num_tokens: int, due_at: float) -> None:
        """Wait until these tokens are due; give up at once when the engine dies.

        Args:
            due_at: on the event loop's clock. A stream that is late does not wait, so it keeps up.
        """
        self._raise_if_dead()
        loop = asyncio.get_running_loop()
        if due_at <= loop.time():
            await asyncio.sleep(0)
        else:
            waiter = loop.create_future()
            timer = loop.call_at(due_at, _wake, waiter)
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.remove(waiter)
                timer.cancel()
        self._num_steps += 1
        if self._tokens_until_death is not None:
            self._tokens_until_death -= num_tokens
            if self._tokens_until_death < 0:
                self.die()
        self._raise_if_dead()

    def _tokens(self, request: EngineRequest) -> Iterator[int]:
        """Endless token ids: the script, or a function of prompt and seed that avoids eos."""
        if self._fake.script is not None:
            yield from cycle(self._fake.script)
        sampling = request.sampling
        # Greedy depends on the prompt alone; an unseeded sampled stream is fresh every time.
        salt = "greedy" if sampling.temperature == 0 else sampling.seed
        adapter = f"{request.adapter}:" if request.adapter else ""
        # The hash of integers is the same in every process; their text takes 150 times as long.
        source = random.Random(f"{adapter}{salt}:{hash(tuple(request.prompt_token_ids))}")
        if salt is None:
            source = random.Random()
        while True:
            token_id = source.randrange(self._info.vocab_size)
            if token_id not in self._avoided:
                yield token_id


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _ruled(tokens: Iterator[int], sampling: SamplingParams, stops: frozenset[int]) -> Iterator[int]:
    """The tokens that the request's rules allow; others are left out, or stand for allowed ones.

    Raises:
        InvalidRequest: the rules leave none of a long run of tokens.
    """
    allowed = sorted(sampling.allowed_token_ids or ())
    generated: list[int] = []
    num_left_out = 0
    for token_id in tokens:
        is_stop = token_id in stops
        token = allowed[token_id % len(allowed)] if allowed and not is_stop else token_id
        is_early = is_stop and len(generated) < sampling.min_tokens
        if is_early or token in completing(generated, sampling.bad_words):
            num_left_out += 1
            if num_left_out > _MOST_LEFT_OUT:
                raise InvalidRequest("The rules for tokens leave none that may come next.")
            continue
        num_left_out = 0
        generated.append(token)
        yield token


def _prompt_logprobs(request: EngineRequest, vocab_size: int) -> list[TokenLogprob | None] | None:
    """Made up as those of the completion are; each token is the likeliest."""
    count = request.sampling.num_prompt_logprobs
    if count is None:
        return None
    sampling = replace(request.sampling, num_logprobs=count)
    told = _logprobs(list(request.prompt_token_ids[1:]), sampling, vocab_size) or []
    return [None, *(replace(one, rank=1) for one in told)]


def _logprobs(
    token_ids: list[int], sampling: SamplingParams, vocab_size: int
) -> list[TokenLogprob] | None:
    """Made-up logprobs of the right shape: halves, the chosen token first."""
    if sampling.num_logprobs is None:
        return None
    halves = [-0.6931471805599453 * (rank + 1) for rank in range(max(1, sampling.num_logprobs))]
    return [
        TokenLogprob(
            token_id,
            halves[0],
            tuple(
                ((token_id + rank) % vocab_size, halves[rank])
                for rank in range(sampling.num_logprobs)
            ),
        )
        for token_id in token_ids
    ]
