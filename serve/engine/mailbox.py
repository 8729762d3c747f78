"""Where a stream's tokens wait for its consumer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from serve.engine.protocol import TokenChunk, TokenLogprob
from serve.timeline import FinishReason

PAIR = 2
MAX_LAG = 8
"""More tokens than this in one mailbox mean a consumer that lags: it gets them all at once."""


class Mailbox:
    """Tokens of one stream. Touched on its event loop only.

    A consumer that lags finds all that came meanwhile in one chunk, so a slow client costs neither
    memory nor wake-ups (the idea is vLLM's RequestOutputCollector). One that is merely a step or
    two late gets pairs, so that its rhythm stays even.

    Attributes:
        cached_tokens: prompt tokens taken from a prefix cache; in every chunk.
        num_puts: how often tokens came.
    """

    __slots__ = (
        "_error",
        "_finish_reason",
        "_logprobs",
        "_token_ids",
        "_waiter",
        "cached_tokens",
        "loop",
        "num_puts",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._token_ids: list[int] = []
        self._logprobs: list[TokenLogprob] = []
        self._finish_reason: FinishReason | None = None
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.cached_tokens = 0
        self.num_puts = 0

    def put(
        self,
        token_ids: Sequence[int],
        logprobs: Sequence[TokenLogprob] | None,
        finish_reason: FinishReason | None,
    ) -> None:
        """Add tokens; ``wake`` tells the consumer."""
        self.num_puts += 1
        self._token_ids += token_ids
        if logprobs is not None:
            self._logprobs += logprobs
        self._finish_reason = finish_reason

    def fail(self, error: Exception) -> None:
        """Raise ``error`` from the stream once its tokens are taken."""
        self._error = error
        self.wake()

    def wake(self) -> None:
        """Let the consumer take what is there. Nothing when it does not wait, or has nothing."""
        waiter = self._waiter
        if waiter is not None and (self._token_ids or self._error is not None):
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    async def take(self) -> TokenChunk:
        """The tokens since the last call; waits for at least one.

        Raises:
            Exception: what ``fail`` was given.
        """
        while not self._token_ids:
            if self._error is not None:
                raise self._error
            self._waiter = self.loop.create_future()
            await self._waiter
        token_ids, logprobs = self._token_ids, self._logprobs
        self._token_ids, self._logprobs = [], []
        if PAIR < len(token_ids) <= MAX_LAG:
            token_ids, self._token_ids = token_ids[:PAIR], token_ids[PAIR:]
            logprobs, self._logprobs = logprobs[:PAIR], logprobs[PAIR:]
        return TokenChunk(
            token_ids=token_ids,
            logprobs=logprobs or None,
            cached_tokens=self.cached_tokens,
            finish_reason=None if self._token_ids else self._finish_reason,
        )
