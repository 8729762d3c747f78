"""The order in which waiting requests are given to the engine. Pure: no asyncio, no clock.

::

    interactive ─┐                       ┌─ tenant a ── ticket, ticket, …
    batch       ─┼─ the first that waits ┼─ tenant b ── ticket            deficit round robin
    background  ─┘  (or one that aged)   └─ tenant c ── ticket, ticket      in tokens

Within a class tenants take turns by deficit round robin in tokens (Shreedhar and Varghese 1995),
with the two lists of RFC 8290 (FQ-CoDel, section 4.1): a tenant that has just come is served before
those that always have something waiting, for one quantum, so that a flood moves its neighbours
little. A request is charged when its turn comes with what is counted for it, and corrected at its
end with what it used; a tenant may owe, and pays with the turns that it then does not get.

A lower class gets nothing while a higher one waits, but for aging: where the oldest ticket of a
lower class has waited for ``AGE_S``, one turn in ``AGED_EVERY`` is its class's.

Where the queue is full, the last ticket of whoever has the most waiting makes room for one of a
tenant that has less, or of a higher class: a flood fills the queue, and shuts nobody else out.

A ticket takes one step to add, to remove and to take, and at worst one look at each tenant.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, get_args

from serve.timeline import RequestClass

QUANTUM_TOKENS: Final = 512
"""Tokens of one turn of a tenant of weight 1: about one question and its answer."""
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
    """What is served before a request, as far as it is known: requests, and their tokens."""

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
        self.num_tokens = 0

    def load(self, request_class: RequestClass) -> tuple[int, int]:
        """Requests and tokens of a class that wait."""
        line = self._lines[request_class]
        return len(line.tickets), line.num_tokens

    def num_sequences(self) -> int:
        """Sequences that wait."""
        return sum(t.width for line in self._lines.values() for t in line.tickets)

    def add(self, ticket: Ticket) -> None:
        """Put a ticket at the end of its tenant's."""
        self._lines[ticket.request_class].add(ticket)
        self.num_waiting += 1
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
        if (flow := ticket.flow) is not None:
            flow.num_begun -= 1
            flow.deficit += ticket.tokens - used_tokens
            ticket.flow = None

    def ahead_of(self, request_class: RequestClass, tenant: str) -> Ahead:
        """What a request that came now would have before it."""
        higher = self._higher(request_class)
        own = self._lines[request_class].ahead(tenant, None)
        return Ahead(higher.requests + own.requests, higher.tokens + own.tokens)

    def ahead(self, ticket: Ticket) -> Ahead:
        """What a ticket that waits has before it now."""
        higher = self._higher(ticket.request_class)
        own = self._lines[ticket.request_class].ahead(ticket.tenant, ticket)
        return Ahead(higher.requests + own.requests, higher.tokens + own.tokens)

    def _left(self, ticket: Ticket) -> None:
        self.num_waiting -= 1
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
        self._names: dict[_Flow, str] = {}
        self._new: deque[_Flow] = deque()
        self._old: deque[_Flow] = deque()
        self.tickets: OrderedDict[Ticket, None] = OrderedDict()  # as they came
        self.num_tokens = 0

    @property
    def oldest(self) -> Ticket:
        return next(iter(self.tickets))

    def add(self, ticket: Ticket) -> None:
        flow = self._flows.get(ticket.tenant)
        if flow is None:
            quantum = QUANTUM_TOKENS * self._weight_of(ticket.tenant)
            if not quantum > 0:
                raise ValueError(f"a tenant's weight has to be above 0: {quantum / QUANTUM_TOKENS}")
            flow = self._flows[ticket.tenant] = _Flow(quantum=quantum, deficit=quantum)
            self._names[flow] = ticket.tenant
            self._new.append(flow)
        ticket.flow = flow
        flow.waiting[ticket] = None
        flow.num_tokens += ticket.tokens
        self.tickets[ticket] = None
        self.num_tokens += ticket.tokens

    def remove(self, ticket: Ticket) -> None:
        self._leave(ticket)
        ticket.flow = None

    def take(self) -> Ticket:
        num_visits = 0
        while True:
            lane = self._new or self._old
            flow = lane[0]
            if flow.deficit <= 0:
                if num_visits > len(self._old):
                    self._skip_rounds()
                num_visits += 1
                flow.deficit += flow.quantum
                lane.popleft()
                self._old.append(flow)
            elif flow.waiting:
                ticket = next(iter(flow.waiting))
                flow.deficit -= ticket.tokens
                flow.num_begun += 1
                self._leave(ticket)
                return ticket
            elif lane is self._new or flow.num_begun:
                # Not forgotten yet: whoever comes again at once would always be new.
                flow.deficit = min(flow.deficit, flow.quantum)
                lane.popleft()
                self._old.append(flow)
            else:
                lane.popleft()
                del self._flows[self._names.pop(flow)]

    def ahead(self, tenant: str, ticket: Ticket | None) -> Ahead:
        """What is served before a ticket, or before one that came now."""
        flow = self._flows.get(tenant)
        requests, tokens = 0, 0
        if flow is not None and ticket is None:
            requests, tokens = len(flow.waiting), flow.num_tokens
        elif flow is not None:
            for other in flow.waiting:
                if other is ticket:
                    break
                requests, tokens = requests + 1, tokens + other.tokens
        quantum = QUANTUM_TOKENS if flow is None else flow.quantum
        turns = max(0.0, tokens - (0.0 if flow is None else flow.deficit)) / quantum
        total, share = float(requests), float(tokens)
        for other_flow in self._flows.values():
            if other_flow is not flow and other_flow.waiting:
                served = min(other_flow.num_tokens, turns * other_flow.quantum)
                share += served
                total += len(other_flow.waiting) * served / other_flow.num_tokens
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

    def _leave(self, ticket: Ticket) -> None:
        flow = ticket.flow
        if flow is not None:
            del flow.waiting[ticket]
            flow.num_tokens -= ticket.tokens
        del self.tickets[ticket]
        self.num_tokens -= ticket.tokens
        if not self.tickets:  # nobody competes: nobody owes, and nobody has saved up
            self._flows.clear()
            self._names.clear()
            self._new.clear()
            self._old.clear()

    def _skip_rounds(self) -> None:
        """Give everyone the turns of the rounds in which nobody could be served."""
        flows = [flow for flow in self._old if flow.waiting]
        rounds = min(math.floor(-flow.deficit / flow.quantum) for flow in flows)
        if rounds > 0:
            for flow in self._old:
                flow.deficit += rounds * flow.quantum


def _held(flow: _Flow) -> float:
    """Requests of a tenant that wait, for its weight."""
    return len(flow.waiting) / flow.quantum
