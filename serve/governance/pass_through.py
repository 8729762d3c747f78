"""Governance that lets everything pass: of a server without limits, trail and filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from serve.governance.principal import Principal
from serve.governance.reservations import Demand, Reservation
from serve.observe.record import RequestRecord
from serve.pipeline.events import GenerateRequest, Generation
from serve.pipeline.stages import Stage


class NoReservation:
    """A reservation of nothing (a Reservation)."""

    @property
    def headers(self) -> Mapping[str, str]:
        return {}

    async def settle(self, record: RequestRecord, *, has_run: bool) -> None:
        """Give nothing back: nothing was held."""


NO_RESERVATION = NoReservation()


class NoLimits:
    """Limits that refuse nobody (a Reservations)."""

    async def check(self, principal: Principal, model: str) -> None:
        """Refuse nothing."""

    async def reserve(
        self,
        principal: Principal,  # noqa: ARG002 - the protocol's
        record: RequestRecord,  # noqa: ARG002
        demand: Demand,  # noqa: ARG002
    ) -> Reservation:
        """Hold nothing."""
        return NO_RESERVATION


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
