"""The queue in front of one engine: who may begin, who waits, and who is told to come back.

The engine is given as many sequences as it decodes at once, and ``look_ahead`` more, which take the
place of those that end before this queue has heard of it. All others wait here, where they can be
put in order (fair_queue.py), counted and told their place; some places are kept from floods
(place_shares.py). What is here is bookkeeping on the event
loop's thread: the one thing that waits is ``Place.wait``.

A request of several choices begins as soon as one place is free. The places that it then takes
beyond those that there are have to come back before anybody else begins, so that neither waits for
the other for ever and no place is kept empty.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from serve import timeline
from serve.errors import DeadlineExceeded, QueueFull
from serve.pipeline.events import Queued
from serve.service.asked import Asked
from serve.service.come_back import ComeBack, within_bounds
from serve.service.fair_queue import FairQueue
from serve.service.place import Place
from serve.service.place_shares import PlaceShares
from serve.service.queue_rate import QueueRate
from serve.service.tenant_rounds import Ahead, Ticket, WeightOf
from serve.timeline import RequestClass

LOOK_AHEAD_SHARE: Final = 16


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
        num_places = max_running + look_ahead
        self._shares = PlaceShares(num_places, look_ahead, weight_of)
        self._come_back = ComeBack(num_places, max_waiting)
        self._max_tokens = max_tokens
        self._max_request_s = max_request_s
        self._clock = clock
        self._queue = FairQueue(weight_of)
        self._rate = QueueRate()
        self._turns: dict[Ticket, asyncio.Future[None]] = {}
        self._put_outs: dict[Ticket, asyncio.Event] = {}  # set when they hold nothing more
        self._timer: asyncio.TimerHandle | None = None  # gives turns when somebody is forgotten

    @property
    def num_held(self) -> int:
        """Places that are taken; more than there are, where a wide request took them."""
        return self._shares.num_held

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
        if not self._has_to_wait(asked):
            self._check_time(asked, 0.0)
            return
        num_waiting = self.num_waiting_sequences()
        is_kept = self._come_back.is_kept(asked, num_waiting, self._clock())
        if is_kept and self._last_for(asked) is None:
            raise self.refusal(
                f"{num_waiting} sequences wait for the engine, and what is left "
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
            retry_after_s=self._come_back.retry_after_s(self._clock(), self._turn_s()),
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
        if not self._has_to_wait(asked):
            self._shares.came(ticket.party, ticket.width, ticket.arrived_at)
            if not self.num_waiting:
                self._shares.begin(ticket.party, ticket.width)
                return Place(self, ticket, None)
        else:
            self._put_out_for(asked)
            self._shares.came(ticket.party, ticket.width, ticket.arrived_at)
        if not self.num_waiting:
            self._rate.began(ticket.arrived_at)
        self._queue.add(ticket)
        turn = self._turns[ticket] = asyncio.get_running_loop().create_future()
        self._give_turns()
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
            self._shares.left(ticket.party, ticket.width, self._clock())
            self._give_turns()
        else:
            self._shares.end(ticket.party, ticket.width, self._clock())
            self._queue.end(ticket, used_tokens)
            self._give_turns()

    def place_of(self, ticket: Ticket) -> Queued:
        """The place of a ticket that waits."""
        ahead = self._queue.ahead(ticket)
        return Queued(position=ahead.requests + 1, expected_wait_s=self._wait_s(ahead))

    def _has_to_wait(self, asked: Asked) -> bool:
        kind, tenant = asked.request_class, asked.tenant
        if self._shares.is_full or not self._queue.is_next(kind, tenant):
            return True
        return not self._shares.may_begin((kind, tenant))

    def _has_too_many(self, asked: Asked) -> bool:
        """Whether a request's tokens would be too many, beside those that wait."""
        most = self._max_tokens
        held = self._queue.num_tokens
        return most is not None and self.num_waiting > 0 and held + asked.tokens > most

    def _last_for(self, asked: Asked) -> Ticket | None:
        return self._queue.last_for(asked.request_class, asked.tenant)

    def _put_out_for(self, asked: Asked) -> None:
        """Refuse requests that wait until this one's tokens may, or this one."""
        for _ in range(self.num_waiting):
            if not self._has_too_many(asked):
                return
            self._put_out(asked)
            self.check(asked)

    def _put_out(self, asked: Asked) -> Ticket | None:
        """Refuse a request that waits, for one of a tenant that has less waiting."""
        ticket = self._last_for(asked)
        if ticket is None:
            return None
        self._queue.remove(ticket)
        self._shares.left(ticket.party, ticket.width, self._clock())
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
        self._give_turns()
        return ticket

    def _give_turns(self) -> None:
        """Give the places that are free to those that may have them."""
        now = self._clock()
        self._shares.forget(now)
        for _ in range(self.num_waiting):
            ticket = None if self._shares.is_full else self._queue.take(now, self._shares.may_begin)
            if ticket is None:
                break
            self._shares.begin(ticket.party, ticket.width)
            self._rate.turn(ticket.tokens, now)
            turn = self._turns.pop(ticket)
            if not turn.done():  # it is, where whoever waits was cancelled and has not run since
                turn.set_result(None)
        if not self.num_waiting:
            self._rate.ended(now)
        elif not self._shares.is_full and self._timer is None:
            delay_s = self._shares.next_change(now)
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._give_turns_later)

    def _give_turns_later(self) -> None:
        """A tenant may no longer be active, and what was kept for it may be free for others."""
        self._timer = None
        self._give_turns()

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
                retry_after_s=within_bounds(wait_s - left_s),
            )

    def _turn_s(self) -> float | None:
        """Seconds from one turn to the next; None where they are not known."""
        rate = self._rate.tokens_per_s(self._clock())
        return None if rate is None else self._rate.tokens_a_turn / rate


def _told(wait_s: float | None) -> str:
    if wait_s is None:
        return "the expected wait is not known yet"
    return f"the expected wait is {wait_s:.1f} s"
