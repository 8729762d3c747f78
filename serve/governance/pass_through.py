"""Governance that lets everything pass: of a server without limits, trail."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from serve.errors import InternalError
from serve.governance.audit.trail import Trail
from serve.governance.principal import Principal
from serve.governance.reservations import Demand, Reservation
from serve.observe.record import RequestRecord
from serve.pipeline.events import Event, Generation

log = logging.getLogger(__name__)

REMEDY = "start with --usage-ledger or --limits-file, or take the limits away"


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


class NoLimitsOfKeys(NoLimits):
    """Limits of a server that counts nothing: a key that has limits may not pass without them.

    Args:
        limits_of: the limits of the key of an id, if it has any.
    """

    def __init__(self, limits_of: Callable[[str], Mapping[str, Any] | None]) -> None:
        self._limits_of = limits_of

    async def check(self, principal: Principal, model: str) -> None:  # noqa: ARG002
        """Refuse a key that was given limits since the server started.

        Raises:
            InternalError: it has some.
        """
        if self._limits_of(principal.key_id):
            log.error("key %s has limits, and nothing counts them: %s", principal.key_id, REMEDY)
            raise InternalError("The key's limits cannot be counted. Tell the operator.")


class NoTrail:
    """The trail of a request without entries (a Trail)."""

    wants_events = waits = False

    async def tell(self, event: Event) -> None:
        """Write nothing."""

    async def end(self, record: RequestRecord) -> None:
        """Write nothing."""


NO_TRAIL = NoTrail()


class NoAudit:
    """An audit trail without entries (an Audit)."""

    def check(self) -> None:
        """Refuse nothing."""

    async def begin(
        self,
        principal: Principal,  # noqa: ARG002 - the protocol's
        record: RequestRecord,  # noqa: ARG002
        generation: Generation,  # noqa: ARG002
    ) -> Trail:
        """Write nothing."""
        return NO_TRAIL

    async def act(
        self,
        principal: Principal | None,
        record: RequestRecord,
        act: str,
        details: Mapping[str, Any],
    ) -> None:
        """Write nothing."""

    async def called(
        self,
        principal: Principal,
        record: RequestRecord,
        status: int,
        details: Mapping[str, Any],
    ) -> None:
        """Write nothing."""
