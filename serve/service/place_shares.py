"""The reserve of places that is kept from floods: who may take what, by the places they have.

A tenant's share of the places is its weight among those of the tenants that are active: that have
places, wait, or did so within the last ``ACTIVE_S``. A tenant takes a free place beyond its share
only where the reserve stays free, so that others who come find a place. One that has saved up in
the queue (tenant_rounds.py) is no flood: its bursts may take a few times its share. A tenant that
is alone may have all places; where all have their share no place is free, and none is kept.

Nothing waits for ever: a tenant that has no place may take any. Pure: no asyncio, no clock.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from serve.service.tenant_rounds import WeightOf

RESERVE_SHARE: Final = 8
"""One place in so many is kept free, and at least one."""
BURST_SHARES: Final = 3
"""So many times its share a tenant may have of all places, where it has saved up."""
ACTIVE_S: Final = 10.0
"""Seconds for which a tenant counts as active after its last request came or ended."""


@dataclass(slots=True)
class _Tenant:
    weight: float
    seen_at: float
    num_held: int = 0
    num_waiting: int = 0  # requests


class PlaceShares:
    """The places of one engine, by tenant.

    Args:
        num_places: that there are; a wide request may take more than are free.
        reserve: places that are kept free.
        weight_of: asked whenever a tenant becomes active.
    """

    def __init__(self, num_places: int, reserve: int, weight_of: WeightOf) -> None:
        self._num_places = num_places
        self._reserve = reserve
        self._weight_of = weight_of
        self._tenants: OrderedDict[str, _Tenant] = OrderedDict()  # as they were last seen
        self._weights = 0.0
        self.num_held = 0

    @property
    def is_full(self) -> bool:
        return self.num_held >= self._num_places

    def came(self, tenant: str, now: float) -> None:
        """A request of it has come, and waits or takes a place next."""
        self.forget(now)
        known = self._tenants.get(tenant)
        if known is None:
            known = self._tenants[tenant] = _Tenant(self._weight_of(tenant), now)
            self._weigh()
        known.num_waiting += 1
        self._seen(tenant, now)

    def begin(self, tenant: str, width: int) -> None:
        """One of its requests takes its places."""
        known = self._tenants[tenant]
        known.num_waiting -= 1
        known.num_held += width
        self.num_held += width

    def left(self, tenant: str, now: float) -> None:
        """One of its requests waits no longer, and has had no place."""
        self._tenants[tenant].num_waiting -= 1
        self._seen(tenant, now)

    def end(self, tenant: str, width: int, now: float) -> None:
        """One of its requests gives its places back."""
        self._tenants[tenant].num_held -= width
        self.num_held -= width
        self._seen(tenant, now)

    def may_begin(self, tenant: str, has_saved: bool) -> bool:
        """Whether a tenant may take a place, if one is free.

        Args:
            has_saved: it has used fewer tokens than its turns gave it.
        """
        known = self._tenants.get(tenant)
        if known is None or len(self._tenants) == 1:
            return True
        if self._num_places - self.num_held > self._reserve:
            return True
        share = self._num_places * known.weight / self._weights
        return known.num_held < (BURST_SHARES * share if has_saved else share)

    def forget(self, now: float) -> None:
        """Drop tenants that are no longer active; one look at each at most."""
        num_before = len(self._tenants)
        for _ in range(num_before):
            tenant, known = next(iter(self._tenants.items()))
            if known.seen_at + ACTIVE_S > now:
                break
            if known.num_held or known.num_waiting:
                known.seen_at = now
                self._tenants.move_to_end(tenant)
            else:
                del self._tenants[tenant]
        if len(self._tenants) < num_before:
            self._weigh()

    def next_change(self, now: float) -> float:
        """Seconds until a tenant may no longer be active. There has to be one, as of ``forget``."""
        return next(iter(self._tenants.values())).seen_at + ACTIVE_S - now

    def _seen(self, tenant: str, now: float) -> None:
        self._tenants[tenant].seen_at = now
        self._tenants.move_to_end(tenant)
        self.forget(now)

    def _weigh(self) -> None:
        self._weights = sum(known.weight for known in self._tenants.values())
