"""Agreement by the greedy next token, through the Engine protocol alone: for any engine.

The reference is what the base model says greedily. The other model continues it; after each
difference it goes on from the reference's tokens, and the positions that differ are counted.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

from benchmarks.quality.sequences import Forced
from serve.engine.protocol import Engine, EngineRequest, SamplingParams

_numbers = itertools.count()


async def continued(engine: Engine, sequences: Sequence[Forced]) -> list[Forced]:
    """The same beginnings, with as many of the engine's own greedy tokens to be scored."""
    said = await asyncio.gather(
        *(_said(engine, sequence.given, len(sequence.scored)) for sequence in sequences)
    )
    return [
        replace(sequence, scored=tuple(tokens))
        for sequence, tokens in zip(sequences, said, strict=True)
    ]


async def differences(engine: Engine, sequences: Sequence[Forced]) -> list[int]:
    """For each sequence, at how many scored tokens the engine says another one."""
    return await asyncio.gather(*(_differences(engine, sequence) for sequence in sequences))


async def _differences(engine: Engine, forced: Forced) -> int:
    found = position = 0
    while position < len(forced.scored):
        before, expected = forced.scored[:position], forced.scored[position:]
        said = await _said(engine, forced.given + before, len(expected))
        same = itertools.takewhile(
            lambda pair: pair[0] == pair[1], zip(said, expected, strict=True)
        )
        position += len(list(same))
        if position < len(forced.scored):
            found, position = found + 1, position + 1
    return found


async def _said(engine: Engine, prompt: Sequence[int], num_tokens: int) -> list[int]:
    """So many greedy tokens, past any end of sequence."""
    request = EngineRequest(
        request_id=f"greedy-{next(_numbers)}",
        prompt_token_ids=prompt,
        sampling=SamplingParams(max_tokens=num_tokens, temperature=0, ignore_eos=True),
    )
    tokens: list[int] = []
    async with aclosing(engine.stream(request)) as chunks:
        async for chunk in chunks:
            tokens += chunk.token_ids
    return tokens
