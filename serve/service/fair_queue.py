"""The order in which waiting requests are given to the engine. Pure: no asyncio, no clock.

::

    interactive ─┐                       ┌─ tenant a ── ticket, ticket, …
    batch       ─┼─ the first that waits ┼─ tenant b ── ticket            deficit round robin
    background  ─┘  (or one that aged)   └─ tenant c ── ticket, ticket      in tokens

Within a class tenants take turns by deficit round robin in tokens (Shreedhar and Varghese 1995): a
round gives each tenant a quantum for its weight, and who has a positive balance may be served, one
request a turn. A tenant that asks for less than its rounds give saves up, to a bound, so that its
bursts go before a flood, as a token bucket would have it. A request is charged when its turn comes
with what is counted for it, and corrected at its end with what it used; a balance may be negative,
and is paid off with rounds.

A lower class gets nothing while a higher one waits, but for aging: where the oldest ticket of a
lower class has waited for ``AGE_S``, one turn in ``AGED_EVERY`` is its class's.

Where the queue is full, the last ticket of whoever has the most waiting makes room for one of a
tenant that has less, or of a higher class: a flood fills the queue, and shuts nobody else out.

A ticket takes one step to add, to remove and to take, and a round one look at each tenant.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, get_args

from serve.timeline import RequestClass

QUANTUM_TOKENS: Final = 32
"""Tokens of one turn of a tenant of weight 1. Less than a request has: who waits for a turn waits
for one request of each other tenant, and not for as many as fit a turn of them."""
MOST_SAVED_TOKENS: Final = 4096
"""Tokens that a tenant of weight 1 saves up while it takes less than its turns, and begins with: a
burst of them is served before a flood."""
AGE_S: Final[dict[RequestClass, float]] = {"interactive": 0.0, "batch": 60.0, "background": 300.0}
AGED_EVERY: Final = 8
"""An eighth of the turns at most goes to classes whose oldest ticket has waited for too long."""
CLASSES: Final[tuple[RequestClass, ...]] = get_args(RequestClass)

WeightOf = Callable[[str], float]
"""The weight of a tenant: above 0; twice the weight is twice the tokens."""


@dataclass(slots=True, eq=False, kw_only=True)
class Ticket:
    """One request's place in the queue.

    Attributes:
        width: places that it takes: its choices that run at once.
        tokens: counted for it, at least 1: its prompt and what it is expected to generate.
        arrived_at: when it came into the queue, in the caller's seconds.
    """

    tenant: str
    request_class: RequestClass
    width: int
    tokens: int
    arrived_at: float
    flow: _Flow | None = None


@dataclass(slots=True, eq=False, kw_only=True)
class _Flow:
    """One tenant in one class."""

    quantum: float
    deficit: float
    waiting: OrderedDict[Ticket, None] = field(default_factory=OrderedDict)
    num_tokens: int = 0
    num_begun: int = 0


@dataclass(frozen=True, slots=True)
class Ahead:
    """Requests that are served before another, as far as it is known, and their tokens."""

    requests: int
    tokens: float


class FairQueue:
    """Tickets that wait, in the order in which their turns come.

    Args:
        weight_of: asked whenever a tenant begins to wait.
    """

    def __init__(self, weight_of: WeightOf = lambda _tenant: 1.0) -> None:
        self._lines = {name: _ClassLine(weight_of) for name in CLASSES}
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

    def take(self, now: float) -> Ticket:
        """The ticket whose turn it is; it waits no longer. There has to be one."""
        ticket = self._lines[self._class_in_turn(now)].take()
        self._left(ticket)
        return ticket

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

    def _class_in_turn(self, now: float) -> RequestClass:
        waiting = [name for name in CLASSES if self._lines[name].tickets]
        self._num_turns += 1
        if self._num_turns >= AGED_EVERY:
            waits = {n: now - self._lines[n].oldest.arrived_at for n in waiting[1:]}
            aged = [name for name, waited_s in waits.items() if waited_s >= AGE_S[name]]
            if aged:
                self._num_turns = 0
                return max(aged, key=lambda name: waits[name] / AGE_S[name])
        return waiting[0]


class _ClassLine:
    """The tenants of one class, of whom at least one waits whenever a ticket is taken."""

    def __init__(self, weight_of: WeightOf) -> None:
        self._weight_of = weight_of
        self._flows: dict[str, _Flow] = {}
        self._rich: OrderedDict[_Flow, None] = OrderedDict()  # wait, and may be served; in turn
        self._poor: OrderedDict[_Flow, None] = OrderedDict()  # wait, and have used up their turns
        self.tickets: OrderedDict[Ticket, None] = OrderedDict()  # as they came
        self.num_tokens = 0

    @property
    def oldest(self) -> Ticket:
        return next(iter(self.tickets))

    def add(self, ticket: Ticket) -> None:
        flow = self._flows.get(ticket.tenant)
        if flow is None:
            weight = self._weight_of(ticket.tenant)
            if not weight > 0:
                raise ValueError(f"a tenant's weight has to be above 0, not {weight}")
            flow = self._flows[ticket.tenant] = _Flow(
                quantum=QUANTUM_TOKENS * weight, deficit=MOST_SAVED_TOKENS * weight
            )
        ticket.flow = flow
        flow.waiting[ticket] = None
        flow.num_tokens += ticket.tokens
        self.tickets[ticket] = None
        self.num_tokens += ticket.tokens
        if len(flow.waiting) == 1:
            self._sort(flow)

    def remove(self, ticket: Ticket) -> None:
        self._leave(ticket)
        ticket.flow = None

    def take(self) -> Ticket:
        if not self._rich:
            self._next_round()
        flow = next(iter(self._rich))
        ticket = next(iter(flow.waiting))
        flow.deficit -= ticket.tokens
        flow.num_begun += 1
        self._leave(ticket)
        if flow.waiting:
            self._sort(flow)
        return ticket

    def end(self, ticket: Ticket, used_tokens: int) -> None:
        flow, ticket.flow = ticket.flow, None
        if flow is None:
            return
        flow.num_begun -= 1
        flow.deficit += ticket.tokens - used_tokens
        if flow.waiting and (flow.deficit > 0) != (flow in self._rich):
            self._sort(flow)

    def ahead(self, tenant: str, ticket: Ticket | None) -> Ahead:
        """Others of the class before a ticket, or before one that came now."""
        flow = self._flows.get(tenant)
        requests, tokens = 0, 0
        if flow is not None and ticket is None:
            requests, tokens = len(flow.waiting), flow.num_tokens
        elif flow is not None:
            for before in flow.waiting:
                if before is ticket:
                    break
                requests, tokens = requests + 1, tokens + before.tokens
        saved = MOST_SAVED_TOKENS if flow is None else flow.deficit
        quantum = QUANTUM_TOKENS if flow is None else flow.quantum
        rounds = max(0.0, tokens - saved) / quantum
        total, share = float(requests), float(tokens)
        for other in self._flows.values():
            if other is flow or not other.waiting:
                continue
            if rounds:
                served = other.deficit + rounds * other.quantum
            else:  # both may be served, and take turns, request by request
                served = other.num_tokens * requests / len(other.waiting)
                served *= other.deficit > 0
            served = max(0.0, min(served, other.num_tokens))
            share += served
            total += len(other.waiting) * served / other.num_tokens
        return Ahead(math.ceil(total), share)

    def last_for(self, tenant: str | None) -> Ticket | None:
        """See ``FairQueue.last_for``; None is a tenant of a higher class."""
        most = max(self._flows.values(), key=_held)
        if tenant is not None:
            own = self._flows.get(tenant)
            if own is most:
                return None
            quantum = QUANTUM_TOKENS * self._weight_of(tenant)
            held = 1 / quantum if own is None else (len(own.waiting) + 1) / own.quantum
            if held >= _held(most):
                return None
        return next(reversed(most.waiting))

    def _sort(self, flow: _Flow) -> None:
        """Put a tenant that waits at the end of those that may be served, or of the others."""
        self._rich.pop(flow, None)
        self._poor.pop(flow, None)
        (self._rich if flow.deficit > 0 else self._poor)[flow] = None

    def _leave(self, ticket: Ticket) -> None:
        flow = ticket.flow
        if flow is not None:
            del flow.waiting[ticket]
            flow.num_tokens -= ticket.tokens
            if not flow.waiting:
                self._rich.pop(flow, None)
                self._poor.pop(flow, None)
        del self.tickets[ticket]
        self.num_tokens -= ticket.tokens
        if not self.tickets:  # nobody competes: nobody owes, and nobody has saved up
            self._flows.clear()

    def _next_round(self) -> None:
        """Give every tenant its turn; as many as it takes until one of those that wait may be
        served. Who does not wait saves up to a bound, and is forgotten there.
        """
        rounds = min(math.floor(-flow.deficit / flow.quantum) + 1 for flow in self._poor)
        for name, flow in list(self._flows.items()):
            most = flow.quantum / QUANTUM_TOKENS * MOST_SAVED_TOKENS
            flow.deficit = max(flow.deficit, min(flow.deficit + rounds * flow.quantum, most))
            if flow.waiting:
                continue
            if flow.deficit >= most and not flow.num_begun:
                del self._flows[name]
        for flow in list(self._poor):
            if flow.deficit > 0:
                self._sort(flow)


def _held(flow: _Flow) -> float:
    """Requests of a tenant that wait, for its weight."""
    return len(flow.waiting) / flow.quantum
