"""Large answers without a long turn: bounds on what is done before the event loop turns again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serve.pipeline.events import Event, TextDelta

ITEMS_PER_TURN: Final = 1000
"""Events, or log-probabilities in them, that are encoded in one turn: 1.3 µs each, measured."""

PIECES_PER_TURN: Final = 4


class Turn:
    """A count of what was encoded since the loop last turned for sure."""

    __slots__ = ("_num_items",)

    def __init__(self) -> None:
        self._num_items = 0

    def is_over(self, event: Event) -> bool:
        """Whether it is time to let others run, this event included."""
        self._num_items += 1
        if isinstance(event, TextDelta) and event.logprobs:
            self._num_items += len(event.logprobs) * (1 + len(event.logprobs[0].top))
        if self._num_items < ITEMS_PER_TURN:
            return False
        self._num_items = 0
        return True


class PiecewiseReply(Response):
    """A JSON answer in pieces, which are made as they are asked for."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        super().__init__()
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await send_json(self._pieces, send)


async def send_json(pieces: Iterable[bytes], send: Send) -> None:
    """Send a JSON answer whose pieces are made as they are asked for.

    Its length is told first, so all are made before the first is sent; whatever they raise is
    raised before the answer's start.
    """
    made: list[bytes] = []
    for piece in pieces:
        made.append(piece)
        if len(made) % PIECES_PER_TURN == 0:
            await asyncio.sleep(0)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(sum(map(len, made))).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    made.reverse()  # so that each can be let go of once it is sent
    while len(made) > 1:
        await send({"type": "http.response.body", "body": made.pop(), "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": made.pop(), "more_body": False})
