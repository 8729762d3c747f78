"""Slices of large chunks, so that no choice takes the event loop for long.

A chunk is large where its reader lagged: a client that reads slowly finds all tokens that came
meanwhile in one. Turning a token into text costs microseconds, and for each of its candidates as
much again; with 128 choices that lag together the loop would stand for seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from serve.engine.protocol import TokenChunk

SLICE_TOKENS: Final = 256
SLICE_LOGPROBS: Final = 1000
"""Most tokens, and most log-probabilities, that are turned into text at once: 1 to 3 ms."""


def slices_of(chunk: TokenChunk) -> Sequence[TokenChunk]:
    """The same tokens, in chunks of a slice at most: the chunk itself where it is no larger."""
    size = SLICE_TOKENS
    if chunk.logprobs:
        size = max(1, SLICE_LOGPROBS // (1 + len(chunk.logprobs[0].top)))
    num_tokens = len(chunk.token_ids)
    if num_tokens <= size:
        return (chunk,)
    return [
        replace(
            chunk,
            token_ids=chunk.token_ids[at : at + size],
            logprobs=None if chunk.logprobs is None else chunk.logprobs[at : at + size],
            finish_reason=chunk.finish_reason if at + size >= num_tokens else None,
        )
        for at in range(0, num_tokens, size)
    ]


async def next_turn(turn: asyncio.Lock) -> None:
    """Wait for a turn of the loop that none of those who share the lock has, too."""
    async with turn:
        await asyncio.sleep(0)
