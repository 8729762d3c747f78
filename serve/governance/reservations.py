"""Reservations: the place where budgets and rate limits can refuse a request before it runs.

A reservation is made for the most that a request may use, before the engine has it, and settled
with what it did use, whatever its end. ``pass_through.NoLimits`` lets everything pass.
"""

from __future__ import annotations

from typing import Protocol

from serve.governance.principal import Principal
from serve.pipeline.events import Generation
from serve.timeline import Usage


class Reservation(Protocol):
    """Room that one request holds in its tenant's limits."""

    async def settle(self, usage: Usage) -> None:
        """Give back what was reserved and not used. Called once, at the end of every request."""
        ...


class Reservations(Protocol):
    """The limits of all tenants."""

    async def reserve(
        self, principal: Principal, model: str, generation: Generation, max_model_len: int
    ) -> Reservation:
        """Hold room for a request.

        Args:
            principal: who asks.
            model: the name that was asked for.
            generation: whose ``max_tokens`` may be UNBOUNDED_TOKENS.
            max_model_len: most tokens of one prompt and its completion.

        Raises:
            RequestError: a limit leaves none.
        """
        ...
