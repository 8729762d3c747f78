"""Slices of large chunks: the same tokens and logprobs, and one slice in a turn of the loop."""

from __future__ import annotations

import asyncio

import pytest

from serve.engine.protocol import TokenChunk, TokenLogprob
from serve.pipeline.slices import SLICE_LOGPROBS, SLICE_TOKENS, next_turn, slices_of


def chunk_of(num_tokens: int, num_top: int | None, reason: str | None = "length") -> TokenChunk:
    ids = list(range(num_tokens))
    logprobs = None
    if num_top is not None:
        logprobs = [TokenLogprob(i, -1.0, ((i, -1.0),) * num_top) for i in ids]
    return TokenChunk(token_ids=ids, logprobs=logprobs, cached_tokens=3, finish_reason=reason)  # type: ignore[arg-type]


@pytest.mark.parametrize("reason", [None, "length", "stop"])
@pytest.mark.parametrize("num_top", [None, 0, 1, 20])
@pytest.mark.parametrize("num_tokens", [1, 2, 47, 48, 256, 257, 1000, 5000])
def test_a_chunk_is_its_slices(num_tokens: int, num_top: int | None, reason: str | None) -> None:
    chunk = chunk_of(num_tokens, num_top, reason)
    slices = slices_of(chunk)
    assert [i for part in slices for i in part.token_ids] == chunk.token_ids
    assert [part.finish_reason for part in slices] == [None] * (len(slices) - 1) + [reason]
    assert {part.cached_tokens for part in slices} == {3}
    if num_top is None:
        assert all(part.logprobs is None for part in slices)
        assert max(len(part.token_ids) for part in slices) <= SLICE_TOKENS
    else:
        assert [p for part in slices for p in part.logprobs or ()] == chunk.logprobs
        assert max(len(part.token_ids) for part in slices) * (1 + num_top) <= SLICE_LOGPROBS
    assert (slices[0] is chunk) is (len(slices) == 1), "a small chunk costs nothing"


async def test_those_that_share_a_turn_take_it_one_by_one() -> None:
    turn = asyncio.Lock()
    done_in_turn = [0]

    async def work() -> None:
        for _ in range(5):
            await next_turn(turn)
            done_in_turn[-1] += 1

    async def count() -> None:
        while True:
            await asyncio.sleep(0)
            done_in_turn.append(0)

    counting = asyncio.create_task(count())
    await asyncio.gather(*[work() for _ in range(20)])
    counting.cancel()
    assert (sum(done_in_turn), max(done_in_turn)) == (100, 1)
