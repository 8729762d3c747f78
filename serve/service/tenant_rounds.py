"""Turns of the tenants of one class: deficit round robin in tokens. Pure: no asyncio, no clock.

::

    tenant a ── ticket, ticket, …
    tenant b ── ticket              (Shreedhar and Varghese 1995)
    tenant c ── ticket, ticket

A round gives each tenant a quantum for its weight, and who has a positive balance may be served,
one request a turn. A tenant that asks for less than its rounds give saves up, to a bound, so that
its bursts go before a flood, as a token bucket would have it. A request is charged when its turn
comes with what is counted for it, and corrected at its end with what it used; a balance may be
negative, and is paid off with rounds.

A ticket takes one step to add, to remove and to take, and a round one look at each tenant.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from serve.timeline import RequestClass

QUANTUM_TOKENS: Final = 32
"""Tokens of one turn of a tenant of weight 1. Less than a request has: who waits for a turn waits
for one request of each other tenant, and not for as many as fit a turn of them."""
MOST_SAVED_TOKENS: Final = 4096
"""Tokens that a tenant of weight 1 saves up while it takes less than its turns, and begins with: a
burst of them is served before a flood."""

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
    flow: Flow | None = None

    @property
    def party(self) -> tuple[RequestClass, str]:
        return self.request_class, self.tenant


@dataclass(slots=True, eq=False, kw_only=True)
class Flow:
    """One tenant in one class."""

    tenant: str
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


MayBegin = Callable[[str], bool]
"""Whether a tenant of that name may take a place that is free."""


class TenantRounds:
    """The tenants of one class, of whom at least one waits whenever a ticket is taken.

    Args:
        weight_of: asked whenever a tenant begins to wait.
    """

    def __init__(self, weight_of: WeightOf) -> None:
        self._weight_of = weight_of
        self._flows: dict[str, Flow] = {}
        self._rich: OrderedDict[Flow, None] = OrderedDict()  # wait, and may be served; in turn
        self._poor: OrderedDict[Flow, None] = OrderedDict()  # wait, and have used up their turns
        self.tickets: OrderedDict[Ticket, None] = OrderedDict()  # as they came
        self.num_tokens = 0

    @property
    def oldest(self) -> Ticket:
        return next(iter(self.tickets))

    def is_waiting(self, tenant: str) -> bool:
        flow = self._flows.get(tenant)
        return flow is not None and bool(flow.waiting)

    def add(self, ticket: Ticket) -> None:
        flow = self._flows.get(ticket.tenant)
        if flow is None:
            weight = self._weight_of(ticket.tenant)
            if not weight > 0:
                raise ValueError(f"a tenant's weight has to be above 0, not {weight}")
            flow = self._flows[ticket.tenant] = Flow(
                tenant=ticket.tenant,
                quantum=QUANTUM_TOKENS * weight,
                deficit=MOST_SAVED_TOKENS * weight,
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

    def take(self, may_begin: MayBegin) -> Ticket | None:
        """The first ticket of the tenant whose turn it is, of those that may begin.

        Returns:
            None where none may.
        """
        flow = next((flow for flow in self._rich if may_begin(flow.tenant)), None)
        if flow is None:
            able = [flow for flow in self._poor if may_begin(flow.tenant)]
            if not able:
                return None
            self._next_round(set(able))
            flow = next(flow for flow in self._rich if flow in able)
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

    def _sort(self, flow: Flow) -> None:
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

    def _next_round(self, able: set[Flow]) -> None:
        """Give tenants their turns; as many as it takes until one of those that are able may be
        served. Who does not wait saves up to a bound, and is forgotten there; who waits and may not
        begin gets none: a flood that is held back would save up to go before the others.
        """
        rounds = min(math.floor(-flow.deficit / flow.quantum) + 1 for flow in able)
        for name, flow in list(self._flows.items()):
            if flow.waiting and flow not in able:
                continue
            most = flow.quantum / QUANTUM_TOKENS * MOST_SAVED_TOKENS
            flow.deficit = max(flow.deficit, min(flow.deficit + rounds * flow.quantum, most))
            if flow.waiting:
                continue
            if flow.deficit >= most and not flow.num_begun:
                del self._flows[name]
        for flow in list(self._poor):
            if flow.deficit > 0:
                self._sort(flow)


def _held(flow: Flow) -> float:
    """Requests of a tenant that wait, for its weight."""
    return len(flow.waiting) / flow.quantum
