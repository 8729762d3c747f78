"""Large answers: one length, many pieces, and the loop turns between them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from starlette.types import Message

from serve.api.http.pieces import ITEMS_PER_TURN, PIECES_PER_TURN, Turn, send_json
from serve.pipeline.events import TextDelta, TokenText


@dataclass
class Log:
    """Messages that were sent, and the pieces that were made between two turns of the loop."""

    messages: list[Message] = field(default_factory=list)
    made_in_turn: list[int] = field(default_factory=lambda: [0])

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    def pieces(self, num: int) -> Iterator[bytes]:
        for number in range(num):
            self.made_in_turn[-1] += 1
            yield b"%06d" % number

    async def turn(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.made_in_turn.append(0)


@pytest.mark.parametrize("num", [1, 2, 4, 5, 100])
async def test_pieces_are_made_and_sent_a_few_in_a_turn(num: int) -> None:
    log = Log()
    turning = asyncio.create_task(log.turn())
    await asyncio.sleep(0)
    await send_json(log.pieces(num), log.send)
    turning.cancel()
    start, *bodies = log.messages
    assert dict(start["headers"])[b"content-length"] == str(6 * num).encode()
    assert b"".join(body["body"] for body in bodies) == b"".join(Log().pieces(num))
    assert [body["more_body"] for body in bodies] == [True] * (num - 1) + [False]
    assert max(log.made_in_turn) <= PIECES_PER_TURN


async def test_what_cannot_be_encoded_is_raised_before_the_start() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"{"
        raise ValueError("planted")

    log = Log()
    with pytest.raises(ValueError, match="planted"):
        await send_json(pieces(), log.send)
    assert log.messages == []


@pytest.mark.parametrize(("num_tokens", "num_top"), [(1, 0), (1, 20), (30, 20), (200, 5)])
def test_a_turn_is_over_after_so_many_items(num_tokens: int, num_top: int) -> None:
    other = TokenText(text="x", raw=b"x", logprob=-1.0)
    token = TokenText(text="x", raw=b"x", logprob=-1.0, top=(other,) * num_top)
    event = TextDelta(index=0, text="x", logprobs=(token,) * num_tokens)
    size = 1 + num_tokens * (1 + num_top)
    turn = Turn()
    for _ in range(2):  # and begins anew
        num_events = 1
        while not turn.is_over(event):
            num_events += 1
        assert (num_events - 1) * size < ITEMS_PER_TURN <= num_events * size


def test_plain_text_counts_by_its_events() -> None:
    turn = Turn()
    event = TextDelta(index=0, text="x" * 1000)
    assert [turn.is_over(event) for _ in range(ITEMS_PER_TURN)].index(True) == ITEMS_PER_TURN - 1
