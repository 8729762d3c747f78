"""From the step thread to the event loops of the streams: one hop per step and loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from serve.engine.delivery import Delivery
from serve.engine.mailbox import Mailbox
from serve.engine.protocol import TokenLogprob
from serve.timeline import FinishReason


@dataclass(frozen=True, slots=True)
class Letter:
    """One token of one step, addressed."""

    mailbox: Mailbox
    token_id: int
    logprob: TokenLogprob | None
    finish_reason: FinishReason | None


class Post:
    """A ``Delivery`` for every event loop that has streams.

    Args:
        max_hold_s: see ``Delivery``.
    """

    def __init__(self, max_hold_s: float) -> None:
        self._max_hold_s = max_hold_s
        self._deliveries: dict[asyncio.AbstractEventLoop, Delivery] = {}

    def mailbox(self) -> Mailbox:
        """For a new stream of the running loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._deliveries:
            for other in [other for other in self._deliveries if other.is_closed()]:
                del self._deliveries[other]
            self._deliveries[loop] = Delivery(loop, self._max_hold_s)
        return self._deliveries[loop].mailbox()

    def send(self, letters: Sequence[Letter], at: float) -> None:
        """Put a step's tokens into their mailboxes. Any thread.

        Args:
            at: when the step was made, in monotonic seconds.
        """
        by_loop: dict[asyncio.AbstractEventLoop, list[Letter]] = {}
        for letter in letters:
            by_loop.setdefault(letter.mailbox.loop, []).append(letter)
        for loop, batch in by_loop.items():
            delivery = self._deliveries.get(loop)
            if delivery is not None:
                call_on(loop, _deliver, delivery, batch, at)


def call_on(loop: asyncio.AbstractEventLoop, function: object, *args: object) -> None:
    """``loop.call_soon_threadsafe``; nothing when the loop is closed, and so nobody listens."""
    try:
        loop.call_soon_threadsafe(function, *args)  # type: ignore[arg-type]
    except RuntimeError:
        if not loop.is_closed():
            raise


def _deliver(delivery: Delivery, letters: Sequence[Letter], at: float) -> None:
    delivery.begin(at)
    for letter in letters:
        logprobs = None if letter.logprob is None else (letter.logprob,)
        delivery.put(letter.mailbox, (letter.token_id,), logprobs, letter.finish_reason)
    delivery.end()
