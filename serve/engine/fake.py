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
from serve.errors import EngineDeadError
from serve.timeline import FinishReason

_DEFAULT_MAX_MODEL_LEN = 32_768
_MAX_TRIES = 1000
"""Tokens that rules may refuse in a row; after them an allowed one is taken as it is."""
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
            capabilities=_CAPABILITIES,
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
                logprobs=_logprobs(chunk, sampling.num_logprobs, self._info.vocab_size),
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


def _ruled(tokens: Iterator[int], sampling: SamplingParams, ends: frozenset[int]) -> Iterator[int]:
    """The tokens that ``min_tokens``, ``allowed_token_ids`` and ``bad_words`` let through."""
    allowed = sampling.allowed_token_ids
    if not (sampling.min_tokens or sampling.bad_words) and allowed is None:
        yield from tokens
    generated: list[int] = []
    while True:
        for _ in range(_MAX_TRIES):
            token_id = next(tokens)
            if _may_come(token_id, generated, sampling, ends):
                break
        else:
            token_id = min(allowed or {token_id})
        generated.append(token_id)
        yield token_id


def _may_come(
    token_id: int, generated: list[int], sampling: SamplingParams, ends: frozenset[int]
) -> bool:
    if token_id in ends:
        return len(generated) >= sampling.min_tokens
    allowed = sampling.allowed_token_ids
    if allowed is not None and token_id not in allowed:
        return False
    return not any(
        (*generated[len(generated) + 1 - len(word) :], token_id) == word
        for word in sampling.bad_words
        if len(word) <= len(generated) + 1
    )


def _prompt_logprobs(request: EngineRequest, vocab_size: int) -> list[TokenLogprob | None] | None:
    """Those of the prompt's tokens, made up in the same way; none of the first."""
    num_logprobs = request.sampling.num_prompt_logprobs
    described = _logprobs(list(request.prompt_token_ids), num_logprobs, vocab_size)
    if described is None:
        return None
    return [None, *(replace(logprob, rank=1) for logprob in described[1:])]


def _logprobs(
    token_ids: list[int], num_logprobs: int | None, vocab_size: int
) -> list[TokenLogprob] | None:
    """Made-up logprobs of the right shape: halves, the chosen token first."""
    if num_logprobs is None:
        return None
    halves = [-0.6931471805599453 * (rank + 1) for rank in range(max(1, num_logprobs))]
    return [
        TokenLogprob(
            token_id,
            halves[0],
            tuple(((token_id + rank) % vocab_size, halves[rank]) for rank in range(num_logprobs)),
        )
        for token_id in token_ids
    ]
