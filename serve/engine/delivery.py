"""Hands an engine's tokens to the streams that wait for them, without loss, in order.

::

    step thread ─ CrossThreadDelivery ─┐
                                       ├▶ Delivery (of one event loop) ─▶ Mailbox ─▶ stream
    vLLM's output handler ─────────────┘

A chunk costs the server, the network and the client about the same whether it carries one token or
two. So while steps come quickly, faster than one in ``max_hold_s``, a stream is woken for every
second of its tokens only. No token waits longer than ``max_hold_s`` or the engine's next step,
whichever is first; a stream's first token and its last wait for nothing. Half of the streams are
woken at one step and half at the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVarTuple

from serve.engine.protocol import TokenChunk, TokenLogprob
from serve.errors import InternalError
from serve.timeline import FinishReason

_log = logging.getLogger(__name__)

PAIR = 2
MAX_LAG = 8
"""More tokens than this in one mailbox mean a consumer that lags: it gets them all at once."""

_Arguments = TypeVarTuple("_Arguments")


class Mailbox:
    """Tokens of one stream that nobody has read yet. Touched on its event loop only.

    A consumer that lags finds all that came meanwhile in one chunk, so a slow client costs neither
    memory nor wake-ups (the idea is vLLM's RequestOutputCollector). One that is merely a step or
    two late gets pairs, so that its rhythm stays even; the end of an answer it gets at once.

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
        """Add tokens, without waking the consumer (see ``wake``). After ``fail`` they are dropped:
        one before them may be missing.
        """
        if self._error is not None:
            return
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
        if PAIR < len(token_ids) <= MAX_LAG and self._finish_reason is None:
            token_ids, self._token_ids = token_ids[:PAIR], token_ids[PAIR:]
            logprobs, self._logprobs = logprobs[:PAIR], logprobs[PAIR:]
        return TokenChunk(
            token_ids=token_ids,
            logprobs=logprobs or None,
            cached_tokens=self.cached_tokens,
            finish_reason=None if self._token_ids else self._finish_reason,
        )


class Delivery:
    """Decides when the tokens of each step are handed over. Touched on its event loop only.

    Args:
        max_hold_s: longest that a token may wait for the next one of its stream; 0 holds none.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, max_hold_s: float) -> None:
        self.loop = loop
        self._max_hold_s = max_hold_s
        self._stepped_at = 0.0
        self._is_fast = False
        self._num_streams = 0
        self._held: list[Mailbox] = []
        self._held_before: list[Mailbox] = []
        self._timer: asyncio.TimerHandle | None = None

    def mailbox(self) -> Mailbox:
        """A mailbox for a new stream."""
        mailbox = Mailbox(self.loop)
        self._num_streams += 1
        mailbox.num_puts = -(self._num_streams % 2)  # which of two steps wakes it
        return mailbox

    def begin(self, at: float) -> None:
        """Open a step, whose tokens follow. Parts of one step have the same time.

        Args:
            at: when the step was made, in monotonic seconds.
        """
        if at != self._stepped_at:
            self._is_fast = at - self._stepped_at < self._max_hold_s
            self._stepped_at = at
            self._held_before, self._held = self._held, []

    def put(
        self,
        mailbox: Mailbox,
        token_ids: Sequence[int],
        logprobs: Sequence[TokenLogprob] | None,
        finish_reason: FinishReason | None,
    ) -> None:
        """Add a stream's tokens of this step, and wake it unless they are to wait for more."""
        mailbox.put(token_ids, logprobs, finish_reason)
        num_puts = mailbox.num_puts
        if self._is_fast and finish_reason is None and num_puts > 1 and num_puts % 2 == 0:
            self._held.append(mailbox)
        else:
            mailbox.wake()

    def end(self) -> None:
        """Close the step: wake the streams that were held in the one before."""
        for mailbox in self._held_before:
            mailbox.wake()  # nothing for those that got their second token in this step
        self._held_before = []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._held:
            self._timer = self.loop.call_later(self._max_hold_s, self._wake_held)

    def _wake_held(self) -> None:
        self._timer = None
        held, self._held = self._held, []
        for mailbox in held:
            mailbox.wake()


@dataclass(frozen=True, slots=True)
class AddressedToken:
    """One token of one step, and the mailbox that it goes to."""

    mailbox: Mailbox
    token_id: int
    logprob: TokenLogprob | None
    finish_reason: FinishReason | None


class CrossThreadDelivery:
    """Brings tokens from a step thread to event loops, in one hop for each step and loop.

    There is a ``Delivery`` for every event loop that has streams.

    Args:
        max_hold_s: see ``Delivery``.
    """

    def __init__(self, max_hold_s: float) -> None:
        self._max_hold_s = max_hold_s
        self._deliveries: dict[asyncio.AbstractEventLoop, Delivery] = {}

    def mailbox(self) -> Mailbox:
        """A mailbox for a new stream of the running event loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._deliveries:
            for other in [other for other in self._deliveries if other.is_closed()]:
                del self._deliveries[other]
            self._deliveries[loop] = Delivery(loop, self._max_hold_s)
        return self._deliveries[loop].mailbox()

    def send(self, tokens: Sequence[AddressedToken], at: float) -> None:
        """Put a step's tokens into their mailboxes. Any thread.

        Args:
            at: when the step was made, in monotonic seconds.
        """
        by_loop: dict[asyncio.AbstractEventLoop, list[AddressedToken]] = {}
        for token in tokens:
            by_loop.setdefault(token.mailbox.loop, []).append(token)
        for loop, batch in by_loop.items():
            delivery = self._deliveries.get(loop)
            if delivery is not None:
                _call_on(loop, _deliver, delivery, batch, at)

    def fail(self, mailbox: Mailbox, error: Exception) -> None:
        """Raise ``error`` from a stream once its tokens are taken. Any thread."""
        _call_on(mailbox.loop, mailbox.fail, error)


def _deliver(delivery: Delivery, tokens: Sequence[AddressedToken], at: float) -> None:
    delivery.begin(at)
    for token in tokens:
        logprobs = None if token.logprob is None else (token.logprob,)
        try:
            delivery.put(token.mailbox, (token.token_id,), logprobs, token.finish_reason)
        except Exception:  # noqa: BLE001 - this stream has lost a token; the others of the step have not
            _log.exception("a token was not delivered")
            token.mailbox.fail(InternalError("The engine lost a token of this request."))
    delivery.end()


def _call_on(
    loop: asyncio.AbstractEventLoop,
    function: Callable[[*_Arguments], object],
    *arguments: *_Arguments,
) -> None:
    """``loop.call_soon_threadsafe``; nothing when the loop is closed, and so nobody listens."""
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:
        if not loop.is_closed():
            raise
