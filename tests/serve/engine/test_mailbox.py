"""What a consumer finds in its mailbox, whether it is quick, late or far behind."""

from __future__ import annotations

import asyncio

import pytest

from serve.engine.mailbox import MAX_LAG, Mailbox
from serve.engine.protocol import TokenLogprob
from serve.errors import EngineDeadError


def mailbox() -> Mailbox:
    return Mailbox(asyncio.get_running_loop())


async def test_one_that_is_a_little_late_gets_pairs_and_the_reason_last() -> None:
    box = mailbox()
    logprobs = [TokenLogprob(token_id, -0.5) for token_id in range(5)]
    box.put([0, 1, 2], logprobs[:3], None)
    box.put([3, 4], logprobs[3:], "length")
    chunks = [await box.take() for _ in range(3)]
    assert [list(chunk.token_ids) for chunk in chunks] == [[0, 1], [2, 3], [4]]
    assert [chunk.finish_reason for chunk in chunks] == [None, None, "length"]
    assert [one for chunk in chunks for one in chunk.logprobs or ()] == logprobs


async def test_one_that_lags_gets_all_at_once() -> None:
    box = mailbox()
    for token_id in range(MAX_LAG + 1):
        box.put([token_id], None, None)
    chunk = await box.take()
    assert list(chunk.token_ids) == list(range(MAX_LAG + 1))
    assert chunk.logprobs is None


async def test_tokens_wait_until_the_consumer_is_woken() -> None:
    box = mailbox()
    taking = asyncio.create_task(box.take())
    await asyncio.sleep(0)
    box.put([1], None, None)
    await asyncio.sleep(0)
    assert not taking.done()
    box.wake()
    box.wake()
    assert list((await taking).token_ids) == [1]


async def test_an_error_comes_after_the_tokens() -> None:
    box = mailbox()
    box.put([1], None, None)
    box.fail(EngineDeadError("gone"))
    assert list((await box.take()).token_ids) == [1]
    with pytest.raises(EngineDeadError, match="gone"):
        await box.take()


async def test_a_consumer_that_went_away_is_not_woken() -> None:
    box = mailbox()
    taking = asyncio.create_task(box.take())
    await asyncio.sleep(0)
    taking.cancel()
    box.put([1], None, None)
    box.wake()
    assert list((await box.take()).token_ids) == [1]
