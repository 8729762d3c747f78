"""Leases of requests that run: extended together, so that a long answer keeps its room.

A process that is killed extends nothing, and its room comes back when its leases end.
"""

from __future__ import annotations

import logging

from serve.storage.counting.counters import Counters, StoreUnavailable

log = logging.getLogger(__name__)

LEASE_MS = 60_000
EXTEND_EVERY_S = 20.0
"""A third of a lease: two attempts may fail."""


class Leases:
    """Reservations that are held in some stores.

    Args:
        stores: of counters, by a name for the log.
    """

    def __init__(self, stores: dict[str, Counters]) -> None:
        self._stores = stores
        self._held: dict[str, set[str]] = {name: set() for name in stores}

    @property
    def num_held(self) -> int:
        """Requests that hold a reservation: the most that any store knows of."""
        return max(map(len, self._held.values()), default=0)

    def hold(self, store: str, reservation_id: str) -> None:
        """Extend it from now on."""
        self._held[store].add(reservation_id)

    def let_go(self, reservation_id: str) -> None:
        """Extend it no more."""
        for held in self._held.values():
            held.discard(reservation_id)

    async def extend(self) -> None:
        """Let all of them end a whole lease from now, in one call for each store."""
        for name, counters in self._stores.items():
            held = sorted(self._held[name])
            if not held:
                continue
            try:
                await counters.extend(held, lease_ms=LEASE_MS)
            except StoreUnavailable as error:
                log.warning(
                    "leases were not extended",
                    extra={"store": name, "reservations": len(held), "reason": str(error)},
                )
