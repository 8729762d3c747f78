"""500 requests that share prefixes and whose clients leave at random: no block stays referenced."""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing
from pathlib import Path

from serve.engine.protocol import Engine, EngineRequest
from serve.engine.registry import build
from serve.engine.settings import EngineSettings
from tests.contracts.engine_requests import idle, prompt_of, request, tokens

NUM_CLIENTS, NUM_AT_ONCE = 500, 24
PREFIXES = [prompt_of(size, seed) for seed, size in enumerate((64, 130, 200))]
"""Of one, two and three whole blocks, and more."""
# Twelve sequences share the cache of seven: some are preempted, and what is kept is given up.
SETTINGS = EngineSettings(
    max_num_seqs=12, max_model_len=256, kv_cache_tokens=1792, max_num_batched_tokens=128
)


def shared(randomness: random.Random) -> EngineRequest:
    """One that begins like many others: with a part of a prefix, and its own end."""
    prefix = randomness.choice(PREFIXES)
    begin = prefix[: randomness.choice([len(prefix), len(prefix), randomness.randrange(1, 64)])]
    end = [randomness.randrange(3, 1000) for _ in range(randomness.randrange(1, 20))]
    return request([*begin, *end], max_tokens=30)


async def leave(
    engine: Engine, randomness: random.Random, gate: asyncio.Semaphore, left: dict[str, int]
) -> None:
    """One client: it leaves before the first chunk, after some, or not at all."""
    moment = randomness.choice(["before", "amid", "amid", "amid", "after"])
    last = {"before": 0, "amid": randomness.randrange(1, 12), "after": 1000}[moment]
    async with gate:
        if not last:
            task = asyncio.ensure_future(tokens(engine, shared(randomness)))
            for _ in range(randomness.randrange(20)):
                await asyncio.sleep(0)
            left["before"] += task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return
        num_chunks = 0
        async with aclosing(engine.stream(shared(randomness))) as stream:
            async for chunk in stream:
                num_chunks += 1
                if num_chunks == last or chunk.finish_reason:
                    left["after" if chunk.finish_reason else "amid"] += 1
                    break


async def test_500_disconnects_leave_only_unreferenced_blocks(tiny_qwen2: Path) -> None:
    engine = build("transformers", tiny_qwen2, SETTINGS, lambda *_: None)
    randomness = random.Random(19)
    gate = asyncio.Semaphore(NUM_AT_ONCE)
    left = {"before": 0, "amid": 0, "after": 0}
    probe = request([*PREFIXES[2], 5], max_tokens=8)
    try:
        expected = await tokens(engine, probe)
        async with asyncio.timeout(60):
            await asyncio.gather(
                *(leave(engine, randomness, gate, left) for _ in range(NUM_CLIENTS))
            )
            await idle(engine)
        assert sum(left.values()) == NUM_CLIENTS
        assert left["before"] > 50
        assert left["amid"] > 100
        assert left["after"] > 50
        assert engine.load().kv_cache_usage == 0
        # All of the cache can be had at once, and what others left in it changes nothing.
        whole = [request(prompt_of(200, seed), max_tokens=56) for seed in range(70, 77)]
        answers = await asyncio.gather(*(tokens(engine, one) for one in whole))
        assert [len(answer) for answer in answers] == [56] * 7
        assert await tokens(engine, request([*PREFIXES[2], 5], max_tokens=8)) == expected
        await idle(engine)
        assert engine.load().kv_cache_usage == 0
    finally:
        await engine.close()
