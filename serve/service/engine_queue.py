"""The queue in front of one engine: who may begin, who waits, and who is told to come back.

The engine is given as many sequences as it decodes at once, and ``look_ahead`` more, which take the
place of those that end before this queue has heard of it. All others wait here, where they can be
put in order (fair_queue.py), counted and told their place. What is here is bookkeeping on the event
loop's thread: the one thing that waits is ``Place.wait``.

A request of several choices begins as soon as one place is free. The places that it then takes
beyond those that there are have to come back before anybody else begins, so that neither waits for
the other for ever and no place is kept empty.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Final

from serve import timeline
from serve.errors import DeadlineExceeded, QueueFull
from serve.pipeline.events import Queued, Started
from serve.service.fair_queue import Ahead, FairQueue, Ticket, WeightOf
from serve.service.queue_rate import QueueRate
from serve.timeline import RequestClass

MOST_COMPLETION_TOKENS: Final = 512
"""Tokens of an answer that are counted before they are known, for each choice."""
UPDATE_S: Final = 1.0
KEEP_ALIVE_S: Final = 15.0
LONGEST_RETRY_S: Final = 10
CALLED_SHARE: Final = 4
"""One turn in so many is for a request that was refused and told to come back."""
KEPT_SHARE: Final = 4
"""So much of the queue is kept for them, while there are any."""
UNKNOWN_S: Final = 2.5
"""Seconds that a request is taken to run, for telling when to come back, before any are known."""
LOOK_AHEAD_SHARE: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request, as the queue knows it.

    Attributes:
        tokens: of its prompt and what it is expected to generate; before it is rendered, at least.
        width: sequences that run at once.
        deadline_at: on the queue's clock; None is never.
        is_retry: it was refused before, as its client says.
    """

    tenant: str
    request_class: RequestClass
    tokens: int
    width: int = 1
    deadline_at: float | None = None
    is_retry: bool = False


class EngineQueue:
    """The places of one engine, and the queue for them.

    Args:
        max_running: sequences that the engine decodes at once.
        look_ahead: sequences that it is given beyond them; None is a sixteenth, at least one.
        max_waiting: sequences that may wait; they are bounded by the pipeline's admission, and here
            a quarter of them is kept for those that were refused and come back.
        max_tokens: most tokens that may wait, prompts and expected answers; None is any number.
        max_request_s: most seconds that a request may take, whatever its client allows.
        weight_of: of a tenant.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        max_running: int,
        look_ahead: int | None = None,
        max_waiting: int | None = None,
        max_tokens: int | None = None,
        max_request_s: float | None = None,
        weight_of: WeightOf = lambda _tenant: 1.0,
        clock: Callable[[], float] = timeline.now,
    ) -> None:
        if look_ahead is None:
            look_ahead = max(1, max_running // LOOK_AHEAD_SHARE)
        self._num_places = max_running + look_ahead
        self._most_new = None if max_waiting is None else max_waiting - max_waiting // KEPT_SHARE
        self._max_tokens = max_tokens
        self._max_request_s = max_request_s
        self._clock = clock
        self._queue = FairQueue(weight_of)
        self._rate = QueueRate()
        self._turns: dict[Ticket, asyncio.Future[None]] = {}
        self._put_outs: dict[Ticket, asyncio.Event] = {}  # set when they hold nothing more
        self._called_until = 0.0  # those that were refused have been told to come back by then
        self.num_held = 0

    @property
    def num_waiting(self) -> int:
        """Requests that wait."""
        return self._queue.num_waiting

    def num_waiting_sequences(self) -> int:
        """Sequences of the requests that wait."""
        return self._queue.num_sequences

    def load(self, request_class: RequestClass) -> tuple[int, int]:
        """Requests and tokens of a class that wait."""
        return self._queue.load(request_class)

    def deadline(self, arrived_at: float, timeout_s: float | None) -> float | None:
        """The end of a request's time: its client's, or the server's where that is earlier."""
        bounds = [s for s in (timeout_s, self._max_request_s) if s is not None]
        return arrived_at + min(bounds) if bounds else None

    def check(self, asked: Asked) -> None:
        """Refuse what could not wait here.

        Raises:
            QueueFull: its tokens would be too many, beside those of others that wait.
            DeadlineExceeded: its turn would not come in time, as far as that is known.
        """
        if not self._has_to_wait:
            self._check_time(asked, 0.0)
            return
        if self._is_kept(asked) and self._last_for(asked) is None:
            raise self.refusal(
                f"{self.num_waiting_sequences()} sequences wait for the engine, and what is left "
                "of the queue is kept for those that were refused before.",
                asked,
            )
        if self._has_too_many(asked) and self._last_for(asked) is None:
            raise self.refusal(
                f"{self._queue.num_tokens} of at most {self._max_tokens} tokens wait for the "
                f"engine, and this request has {asked.tokens}, of its prompt and of what it may "
                "generate.",
                asked,
            )
        if asked.deadline_at is not None:
            self._check_time(asked, self._wait_s(self._ahead_of(asked)))

    def refusal(self, reason: str, asked: Asked) -> QueueFull:
        """A refusal that says how long the queue is, and when to come back."""
        ahead = self._ahead_of(asked)
        return QueueFull(
            f"{reason} {self.num_waiting} requests wait; this one would be number "
            f"{ahead.requests + 1}, and {_told(self._wait_s(ahead))}. Retry after the time in "
            "Retry-After.",
            retry_after_s=self._retry_after_s(),
        )

    def join(self, asked: Asked) -> Place:
        """Take places, or wait for them: until the place is left.

        Raises:
            QueueFull, DeadlineExceeded: see ``check``.
        """
        self.check(asked)
        ticket = Ticket(
            tenant=asked.tenant,
            request_class=asked.request_class,
            width=asked.width,
            tokens=max(1, asked.tokens),
            arrived_at=self._clock(),
        )
        if not self._has_to_wait:
            self.num_held += ticket.width
            return Place(self, ticket, None)
        while self._has_too_many(asked):
            self._put_out(asked)
            self.check(asked)
        if not self.num_waiting:
            self._rate.began(ticket.arrived_at)
        self._queue.add(ticket)
        turn = self._turns[ticket] = asyncio.get_running_loop().create_future()
        return Place(self, ticket, turn)

    async def make_room(self, asked: Asked) -> bool:
        """Have another request put out, and wait until it holds nothing more.

        Returns:
            Whether there was one that had to make room for this one.
        """
        ticket = self._put_out(asked)
        if ticket is None:
            return False
        await self._put_outs[ticket].wait()
        return True

    def leave(self, ticket: Ticket, used_tokens: int) -> None:
        """Give a ticket's places back, or its place in the queue. Once for each."""
        if (gone := self._put_outs.pop(ticket, None)) is not None:
            gone.set()
        elif self._turns.pop(ticket, None) is not None:
            self._queue.remove(ticket)
        else:
            self.num_held -= ticket.width
            self._queue.end(ticket, used_tokens)
            self._give_turns()
        if not self.num_waiting:
            self._rate.ended(self._clock())

    def place_of(self, ticket: Ticket) -> Queued:
        """The place of a ticket that waits."""
        ahead = self._queue.ahead(ticket)
        return Queued(position=ahead.requests + 1, expected_wait_s=self._wait_s(ahead))

    @property
    def _has_to_wait(self) -> bool:
        return bool(self.num_waiting) or self.num_held >= self._num_places

    def _is_kept(self, asked: Asked) -> bool:
        """Whether the room that is left is for those that were told to come back."""
        if asked.is_retry or self._most_new is None or self._called_until <= self._clock():
            return False
        return self.num_waiting_sequences() + asked.width > self._most_new

    def _has_too_many(self, asked: Asked) -> bool:
        """Whether a request's tokens would be too many, beside those that wait."""
        most = self._max_tokens
        held = self._queue.num_tokens
        return most is not None and self.num_waiting > 0 and held + asked.tokens > most

    def _last_for(self, asked: Asked) -> Ticket | None:
        return self._queue.last_for(asked.request_class, asked.tenant)

    def _put_out(self, asked: Asked) -> Ticket | None:
        """Refuse a request that waits, for one of a tenant that has less waiting."""
        ticket = self._last_for(asked)
        if ticket is None:
            return None
        self._queue.remove(ticket)
        self._put_outs[ticket] = asyncio.Event()
        turn = self._turns.pop(ticket)
        if not turn.done():
            own = Asked(
                tenant=ticket.tenant, request_class=ticket.request_class, tokens=ticket.tokens
            )
            turn.set_exception(
                self.refusal("The queue is full, and others have less waiting in it.", own)
            )
            turn.exception()  # whoever was told places may have left; nobody else would ask for it
        if not self.num_waiting:
            self._rate.ended(self._clock())
        return ticket

    def _give_turns(self) -> None:
        while self.num_waiting and self.num_held < self._num_places:
            now = self._clock()
            ticket = self._queue.take(now)
            self.num_held += ticket.width
            self._rate.turn(ticket.tokens, now)
            turn = self._turns.pop(ticket)
            if not turn.done():  # it is, where whoever waits was cancelled and has not run since
                turn.set_result(None)

    def _ahead_of(self, asked: Asked) -> Ahead:
        return self._queue.ahead_of(asked.request_class, asked.tenant)

    def _wait_s(self, ahead: Ahead) -> float | None:
        """Seconds until the turn of what has so much before it; None where it is not known."""
        rate = self._rate.tokens_per_s(self._clock())
        return None if rate is None else (ahead.tokens + self._rate.tokens_a_turn) / rate

    def _check_time(self, asked: Asked, wait_s: float | None) -> None:
        if asked.deadline_at is None or wait_s is None:
            return
        left_s = asked.deadline_at - self._clock()
        if wait_s >= left_s:
            raise DeadlineExceeded(
                f"{_told(wait_s).capitalize()}, and the deadline is in {max(0.0, left_s):.1f} s. "
                "Nothing was computed. Allow more time, or ask again when less is asked.",
                retry_after_s=min(LONGEST_RETRY_S, max(1, math.ceil(wait_s - left_s))),
            )

    def _retry_after_s(self) -> int:
        """Seconds after which a place may be free for one more: those that were refused before are
        told earlier times, one for every few turns, so that they do not come back all at once and
        find room beside those that are new.
        """
        now = self._clock()
        rate = self._rate.tokens_per_s(now)
        turn_s = self._rate.tokens_a_turn / rate if rate else UNKNOWN_S / self._num_places
        step_s = CALLED_SHARE * turn_s
        self._called_until = min(now + LONGEST_RETRY_S, max(now, self._called_until) + step_s)
        return min(LONGEST_RETRY_S, max(1, math.ceil(self._called_until - now)))


class Place:
    """A request's place: in the queue until its turn comes, then in the engine."""

    def __init__(
        self, queue: EngineQueue, ticket: Ticket, turn: asyncio.Future[None] | None
    ) -> None:
        self._queue = queue
        self._ticket = ticket
        self._turn = turn
        self._has_left = False

    @property
    def is_waiting(self) -> bool:
        return self._turn is not None and not self._turn.done()

    async def wait(self) -> None:
        """Return when its turn has come.

        Raises:
            QueueFull: it had to make room.
        """
        if self._turn is not None:
            await self._turn

    async def updates(self) -> AsyncGenerator[Queued, None]:
        """Its place in the queue, whenever that changes, and now and then; ends with its turn.

        At most one in UPDATE_S, and at least one in KEEP_ALIVE_S.
        """
        told: Queued | None = None
        num_silent = 0
        while self.is_waiting and self._turn is not None:
            now = self._queue.place_of(self._ticket)
            num_silent += 1
            if told is None or now.position != told.position or num_silent >= KEEP_ALIVE_S:
                told, num_silent = now, 0
                yield now
            await asyncio.wait({self._turn}, timeout=UPDATE_S)
        await self.wait()

    def leave(self, used_tokens: int) -> None:
        """Give it back. Idempotent.

        Args:
            used_tokens: of the prompt and the answer, where it ran.
        """
        if not self._has_left:
            self._has_left = True
            self._queue.leave(self._ticket, used_tokens)


def expected_tokens(started: Started) -> int:
    """Tokens that are counted for a request whose prompt is known."""
    most = MOST_COMPLETION_TOKENS * started.num_sequences
    return started.prompt_tokens + min(started.max_completion_tokens, most)


def _told(wait_s: float | None) -> str:
    if wait_s is None:
        return "the expected wait is not known yet"
    return f"the expected wait is {wait_s:.1f} s"
