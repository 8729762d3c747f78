"""Requests of the engine contract, and what is read of their answers."""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing
from itertools import count
from typing import Any

from serve.engine.grammars.grammar import Grammar
from serve.engine.protocol import Engine, EngineRequest, SamplingParams, TokenChunk

_ids = count()


def prompt_of(size: int, seed: int = 0) -> list[int]:
    source = random.Random(seed)
    return [source.randrange(3, 1000) for _ in range(size)]


def request(prompt: list[int] | None = None, **sampling: Any) -> EngineRequest:
    """Greedy, past end-of-sequence, 8 tokens, unless told otherwise."""
    merged = {"max_tokens": 8, "temperature": 0.0, "ignore_eos": True} | sampling
    return EngineRequest(
        request_id=f"r{next(_ids)}",
        prompt_token_ids=prompt_of(5) if prompt is None else prompt,
        sampling=SamplingParams(**merged),
    )


def held(pattern: str, **sampling: Any) -> EngineRequest:
    """One that is held to a regular expression, and ends where that does."""
    grammar = Grammar(kind="regex", text=pattern)
    return request(**({"grammar": grammar, "ignore_eos": False, "max_tokens": 100} | sampling))


async def collect(engine: Engine, engine_request: EngineRequest) -> list[TokenChunk]:
    async with aclosing(engine.stream(engine_request)) as stream:
        return [chunk async for chunk in stream]


async def tokens(engine: Engine, engine_request: EngineRequest) -> list[int]:
    return [token for chunk in await collect(engine, engine_request) for token in chunk.token_ids]


async def idle(engine: Engine) -> None:
    """Wait until nothing runs and nothing waits."""
    async with asyncio.timeout(30):
        while (load := engine.load()).num_running or load.num_waiting:
            await asyncio.sleep(0.001)  # an engine has no event for it
