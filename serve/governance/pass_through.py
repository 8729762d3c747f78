"""Governance that lets everything pass: of a server without limits, trail and filters."""

from __future__ import annotations

from collections.abc import Sequence

from serve.governance.principal import Principal
from serve.governance.reservations import Reservation
from serve.observe.record import RequestRecord
from serve.pipeline.events import GenerateRequest, Generation
from serve.pipeline.stages import Stage
from serve.timeline import Usage


class NoLimits:
    """Reservations of nothing (a Reservations, and the Reservation that it makes)."""

    async def reserve(
        self,
        principal: Principal,  # noqa: ARG002 - the protocol's
        model: str,  # noqa: ARG002
        generation: Generation,  # noqa: ARG002
        max_model_len: int,  # noqa: ARG002
    ) -> Reservation:
        """Hold nothing."""
        return self

    async def settle(self, usage: Usage) -> None:
        """Give nothing back: nothing was held."""


class NoAudit:
    """An audit trail without entries (an Audit)."""

    async def begin(
        self, principal: Principal, record: RequestRecord, generation: Generation
    ) -> None:
        """Write nothing."""

    async def end(self, record: RequestRecord) -> None:
        """Write nothing."""


def no_filters(_request: GenerateRequest, _index: int) -> Sequence[Stage]:
    """No stage for a choice's text to pass (a serve.pipeline.stages.StagesFor)."""
    return ()
