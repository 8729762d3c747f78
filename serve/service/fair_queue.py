"""The order in which waiting requests are given to the engine. Pure: no asyncio, no clock.

::

    interactive ─┐                       ┌─ tenant a ── ticket, ticket, …
    batch       ─┼─ the first that waits ┼─ tenant b ── ticket            deficit round robin
    background  ─┘  (or one that aged)   └─ tenant c ── ticket, ticket      in tokens

Within a class tenants take turns (tenant_rounds.py).

A lower class gets nothing while a higher one waits, but for aging: where the oldest ticket of a
lower class has waited for ``AGE_S``, one turn in ``AGED_EVERY`` is its class's.

Where the queue is full, the last ticket of whoever has the most waiting makes room for one of a
tenant that has less, or of a higher class: a flood fills the queue, and shuts nobody else out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, get_args

from serve.service.tenant_rounds import Ahead, TenantRounds, Ticket, WeightOf
from serve.timeline import RequestClass

AGE_S: Final[dict[RequestClass, float]] = {"interactive": 0.0, "batch": 60.0, "background": 300.0}
AGED_EVERY: Final = 8
"""An eighth of the turns at most goes to classes whose oldest ticket has waited for too long."""
CLASSES: Final[tuple[RequestClass, ...]] = get_args(RequestClass)

PartyMayBegin = Callable[[tuple[RequestClass, str]], bool]
"""Whether a tenant may take a place that is free: its class and name."""


class FairQueue:
    """Tickets that wait, in the order in which their turns come.

    Args:
        weight_of: asked whenever a tenant begins to wait.
    """

    def __init__(self, weight_of: WeightOf = lambda _tenant: 1.0) -> None:
        self._lines = {name: TenantRounds(weight_of) for name in CLASSES}
        self._num_turns = AGED_EVERY  # since the last one that went to a class that had aged
        self.num_waiting = 0
        self.num_sequences = 0  # of those that wait
        self.num_tokens = 0

    def load(self, request_class: RequestClass) -> tuple[int, int]:
        """Requests and tokens of a class that wait."""
        line = self._lines[request_class]
        return len(line.tickets), line.num_tokens

    def add(self, ticket: Ticket) -> None:
        """Put a ticket at the end of its tenant's."""
        self._lines[ticket.request_class].add(ticket)
        self.num_waiting += 1
        self.num_sequences += ticket.width
        self.num_tokens += ticket.tokens

    def remove(self, ticket: Ticket) -> None:
        """Take a ticket that waits out of the queue."""
        self._lines[ticket.request_class].remove(ticket)
        self._left(ticket)

    def take(self, now: float, may_begin: PartyMayBegin = lambda _party: True) -> Ticket | None:
        """The ticket whose turn it is; it waits no longer. At least one has to wait.

        Args:
            may_begin: asked for a turn of the highest class that waits, and not for one of a class
                that has aged: it may take any place.

        Returns:
            None where no tenant of the class whose turn it is may begin.
        """
        aged = self._aged(now) if self._num_turns + 1 >= AGED_EVERY else None
        ticket = None if aged is None else self._lines[aged].take(lambda _tenant: True)
        if ticket is not None:
            self._num_turns = 0
        else:
            name = next(name for name in CLASSES if self._lines[name].tickets)
            ticket = self._lines[name].take(lambda tenant: may_begin((name, tenant)))
            if ticket is None:
                return None
            self._num_turns += 1
        self._left(ticket)
        return ticket

    def is_next(self, request_class: RequestClass, tenant: str) -> bool:
        """Whether nobody stands before one that came now, where those that wait may not begin."""
        if self._higher(request_class).requests:
            return False
        return not self._lines[request_class].is_waiting(tenant)

    def last_for(self, request_class: RequestClass, tenant: str) -> Ticket | None:
        """The ticket that has to go so that one which came now may wait, where the queue is full.

        It is the last one of the tenant that has the most waiting for its weight, in the lowest
        class. None where the newcomer's own tenant would then have as much, or its class is lower.
        """
        lowest = next((name for name in reversed(CLASSES) if self._lines[name].tickets), None)
        if lowest is None or CLASSES.index(lowest) < CLASSES.index(request_class):
            return None
        line = self._lines[lowest]
        return line.last_for(tenant if lowest == request_class else None)

    def end(self, ticket: Ticket, used_tokens: int) -> None:
        """Correct what a ticket that was taken was charged with."""
        self._lines[ticket.request_class].end(ticket, used_tokens)

    def ahead_of(self, request_class: RequestClass, tenant: str) -> Ahead:
        """Others before a request that came now."""
        higher = self._higher(request_class)
        own = self._lines[request_class].ahead(tenant, None)
        return Ahead(higher.requests + own.requests, higher.tokens + own.tokens)

    def ahead(self, ticket: Ticket) -> Ahead:
        """Others before a ticket that waits."""
        higher = self._higher(ticket.request_class)
        own = self._lines[ticket.request_class].ahead(ticket.tenant, ticket)
        return Ahead(higher.requests + own.requests, higher.tokens + own.tokens)

    def _left(self, ticket: Ticket) -> None:
        self.num_waiting -= 1
        self.num_sequences -= ticket.width
        self.num_tokens -= ticket.tokens

    def _higher(self, request_class: RequestClass) -> Ahead:
        lines = [self._lines[name] for name in CLASSES[: CLASSES.index(request_class)]]
        return Ahead(sum(len(o.tickets) for o in lines), sum(o.num_tokens for o in lines))

    def _aged(self, now: float) -> RequestClass | None:
        """The class below the highest that waits whose oldest has waited for too long."""
        waiting = [name for name in CLASSES if self._lines[name].tickets]
        waits = {n: now - self._lines[n].oldest.arrived_at for n in waiting[1:]}
        aged = [name for name, waited_s in waits.items() if waited_s >= AGE_S[name]]
        return max(aged, key=lambda name: waits[name] / AGE_S[name], default=None)
