"""Reservations: the place where budgets and rate limits can refuse a request before it runs.

A reservation is made for the most that a request may use, once its prompt is tokens and before the
engine has it, and settled with what it did use, whatever its end. ``pass_through.NoLimits`` lets
everything pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from serve.governance.principal import Principal
from serve.observe.record import RequestRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """The most that a request may use.

    Attributes:
        model: the name that was asked for.
        prompt_tokens: of all its prompts.
        max_completion_tokens: over all its candidates, those that are not returned included.
        num_sequences: candidates.
    """

    model: str
    prompt_tokens: int
    max_completion_tokens: int
    num_sequences: int


class Reservation(Protocol):
    """Room that one request holds in its tenant's limits."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Names and values that the answer tells of the limits (``x-ratelimit-...``)."""
        ...

    async def settle(self, record: RequestRecord, *, has_run: bool) -> None:
        """Give back what was reserved and not used, and enter what was into the ledger.

        Called once, at the end of every request that was reserved. Its ``timeline.usage``,
        ``error_code``, ``is_disconnected`` and ``timeline.finish_reason`` are final; its status is
        not known yet. Cancelling the caller does not cancel the settlement.

        Args:
            has_run: False where it was refused after it was reserved: nothing was computed for it.
        """
        ...


class Reservations(Protocol):
    """The limits of all tenants."""

    async def check(self, principal: Principal, model: str) -> None:
        """Refuse what cannot be reserved whatever it is, before work is spent on its prompt.

        Raises:
            RequestError: a limit leaves no room for anything.
        """
        ...

    async def reserve(
        self, principal: Principal, record: RequestRecord, demand: Demand
    ) -> Reservation:
        """Hold room for a request.

        Raises:
            RequestError: a limit leaves none. Its ``headers`` tell of the limits.
        """
        ...
