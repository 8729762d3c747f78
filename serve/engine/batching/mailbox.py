"""Where the step thread's tokens wait for one stream's consumer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from serve.engine.protocol import FinishReason, TokenChunk, TokenLogprob


class Mailbox:
    """Tokens of one stream. Touched on its event loop only.

    A consumer that lags finds all that came meanwhile in one chunk, so a slow client costs neither
    memory nor wake-ups (the idea is vLLM's RequestOutputCollector).
    """

    __slots__ = ("_error", "_finish_reason", "_logprobs", "_token_ids", "_waiter", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._token_ids: list[int] = []
        self._logprobs: list[TokenLogprob] = []
        self._finish_reason: FinishReason | None = None
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    def put(
        self, token_id: int, logprob: TokenLogprob | None, finish_reason: FinishReason | None
    ) -> None:
        self._token_ids.append(token_id)
        if logprob is not None:
            self._logprobs.append(logprob)
        self._finish_reason = finish_reason
        self._wake()

    def fail(self, error: Exception) -> None:
        """Raise ``error`` from the stream once its tokens are taken."""
        self._error = error
        self._wake()

    async def take(self) -> TokenChunk:
        """All tokens since the last call; waits for at least one.

        Raises:
            Exception: what ``fail`` was given.
        """
        while not self._token_ids:
            if self._error is not None:
                raise self._error
            self._waiter = self.loop.create_future()
            await self._waiter
        chunk = TokenChunk(
            token_ids=self._token_ids,
            logprobs=self._logprobs or None,
            finish_reason=self._finish_reason,
        )
        self._token_ids, self._logprobs = [], []
        return chunk

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


@dataclass(frozen=True, slots=True)
class Letter:
    """One token of one step, addressed."""

    mailbox: Mailbox
    token_id: int
    logprob: TokenLogprob | None
    finish_reason: FinishReason | None


def post(letters: Sequence[Letter]) -> None:
    """Put a step's tokens into their mailboxes, with one hop per event loop. Any thread."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Letter]] = {}
    for letter in letters:
        by_loop.setdefault(letter.mailbox.loop, []).append(letter)
    for loop, batch in by_loop.items():
        call_on(loop, _deliver, batch)


def call_on(loop: asyncio.AbstractEventLoop, function: object, *args: object) -> None:
    """``loop.call_soon_threadsafe``; nothing when the loop is closed, and so nobody listens."""
    try:
        loop.call_soon_threadsafe(function, *args)  # type: ignore[arg-type]
    except RuntimeError:
        if not loop.is_closed():
            raise


def _deliver(letters: Sequence[Letter]) -> None:
    for letter in letters:
        letter.mailbox.put(letter.token_id, letter.logprob, letter.finish_reason)
