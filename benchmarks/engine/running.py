"""Requests straight on an Engine, and the trace of each."""

from __future__ import annotations

import asyncio
import random
import statistics
from array import array
from collections.abc import Sequence
from contextlib import aclosing

from benchmarks.metrics.request import whole
from benchmarks.trace import Trace
from serve import timeline
from serve.engine.protocol import Engine, EngineRequest, SamplingParams

_PROMPT_TOKENS = 16


async def ask(engine: Engine, name: str, prompt: Sequence[int], max_tokens: int) -> Trace:
    """One greedy request without an early end, to its end."""
    request = EngineRequest(
        request_id=name,
        prompt_token_ids=prompt,
        sampling=SamplingParams(max_tokens=max_tokens, temperature=0, ignore_eos=True),
    )
    arrivals_at, chunk_tokens = array("d"), array("L")
    cached_tokens, finish_reason = 0, None
    sent_at = timeline.now()
    async with aclosing(engine.stream(request)) as chunks:
        async for chunk in chunks:
            arrivals_at.append(timeline.now())
            chunk_tokens.append(len(chunk.token_ids))
            cached_tokens = chunk.cached_tokens
            finish_reason = chunk.finish_reason
    return Trace(
        sent_at=sent_at,
        arrivals_at=arrivals_at,
        chunk_tokens=chunk_tokens,
        finished_at=timeline.now(),
        prompt_tokens=len(prompt),
        completion_tokens=sum(chunk_tokens),
        cached_tokens=cached_tokens,
        finish_reason=finish_reason,
    )


async def ask_all(
    engine: Engine, name: str, prompts: Sequence[Sequence[int]], max_tokens: int
) -> list[Trace]:
    """All at once; ``name`` is of this batch alone."""
    requests = (ask(engine, f"{name}-{n}", prompt, max_tokens) for n, prompt in enumerate(prompts))
    return whole(await asyncio.gather(*requests))


async def speed(engine: Engine, streams: int, max_tokens: int, rounds: int) -> dict[str, float]:
    """``rounds`` requests per stream, ``streams`` at a time, prompts of 16 tokens that all differ.

    Tokens and chunks per second are over the wall clock, prefill included; ``ttft_ms`` is the
    median from a request's submission to its first chunk.
    """
    gate = asyncio.Semaphore(streams)

    async def one(name: str) -> Trace:
        source = random.Random(name)
        prompt = [source.randrange(engine.info.vocab_size // 2) for _ in range(_PROMPT_TOKENS)]
        async with gate:
            return await ask(engine, name, prompt, max_tokens)

    names = [f"{streams}-{number}" for number in range(streams * rounds)]
    began_at = timeline.now()
    traces = whole(await asyncio.gather(*(one(name) for name in names)))
    took_s = timeline.now() - began_at
    return {
        "tokens_s": sum(trace.completion_tokens for trace in traces) / took_s,
        "chunks_s": sum(len(trace.arrivals_at) for trace in traces) / took_s,
        "ttft_ms": 1000 * statistics.median(t.arrivals_at[0] - t.sent_at for t in traces),
    }
