"""From an engine's steps to the streams that wait for their tokens.

A chunk costs the server, the network and the client about the same whether it carries one token or
two. So while steps come quickly, faster than one in ``max_hold_s``, a stream is woken for every
second of its tokens only. No token waits longer than ``max_hold_s`` or the engine's next step,
whichever is first; a stream's first token and its last wait for nothing. Half of the streams are
woken at one step and half at the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from serve.engine.mailbox import Mailbox
from serve.engine.protocol import TokenLogprob
from serve.timeline import FinishReason


class Delivery:
    """Hands out the tokens of each step, on one event loop. Touched on that loop only.

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
        """For a new stream."""
        mailbox = Mailbox(self.loop)
        self._num_streams += 1
        mailbox.num_puts = -(self._num_streams % 2)  # which of two steps wakes it
        return mailbox

    def begin(self, at: float) -> None:
        """A step's tokens follow. Parts of one step have the same time.

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
        mailbox.put(token_ids, logprobs, finish_reason)
        num_puts = mailbox.num_puts
        if self._is_fast and finish_reason is None and num_puts > 1 and num_puts % 2 == 0:
            self._held.append(mailbox)
        else:
            mailbox.wake()

    def end(self) -> None:
        """The step's tokens are handed out."""
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
