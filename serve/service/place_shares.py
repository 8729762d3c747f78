"""The places that floods leave to others: who may take what, by the places they have and want.

A tenant's share of the places is its weight among those of the tenants that are active: that have
places, wait, or did so within the last ``ACTIVE_S``. What is kept free (flood_reserve.py) is for
those within their share, and for bursts: requests that come at random need more than the mean of
them now and then, by a few times its square root. Who wants still more is a flood, and may take
what is beyond its share only where the reserve stays free. So is a class while
a higher one is active, whoever asks. Who is alone may have all places.

Nothing waits for ever: a tenant that has no place may take any, and so may a class. Pure: no
asyncio, no clock.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Final, get_args

from serve.service.flood_reserve import FloodReserve
from serve.service.tenant_rounds import WeightOf
from serve.timeline import RequestClass

BURST: Final = 3.0
"""Square roots of its share that a tenant may have beyond it, out of the reserve."""
FLOOD: Final = 8.0
"""Square roots of its share beyond it, from which on what a tenant has and waits for is a flood."""
ACTIVE_S: Final = 30.0
"""Seconds for which a tenant counts as active after its last request came or ended."""

Party = tuple[RequestClass, str]
"""A tenant in one class."""


@dataclass(slots=True)
class _Active:
    weight: float
    seen_at: float
    num_held: int = 0
    num_waiting: int = 0  # places that its requests wait for

    @property
    def need(self) -> int:
        return self.num_held + self.num_waiting


class PlaceShares:
    """The places of one engine, by tenant and class.

    Args:
        num_places: that there are; a wide request may take more than are free.
        look_ahead: how many of them the engine does not decode at once.
        weight_of: asked whenever a tenant becomes active.
        reserve: places that are kept free beside the look-ahead; None is one that learns.
    """

    def __init__(
        self,
        num_places: int,
        look_ahead: int,
        weight_of: WeightOf,
        reserve: FloodReserve | None = None,
    ) -> None:
        self._num_places = num_places
        self._look_ahead = look_ahead
        self._weight_of = weight_of
        self._reserve = reserve or FloodReserve(num_places - look_ahead)
        self._active: OrderedDict[Party, _Active] = OrderedDict()  # as they were last seen
        self._highest: RequestClass = "interactive"  # of those that are active
        self._weights = 0.0  # of the highest class
        self._floods: set[Party] = set()  # of the highest class
        self._needs: Counter[RequestClass] = Counter()
        self._held: Counter[RequestClass] = Counter()
        self._now = 0.0
        self.num_held = 0

    @property
    def is_full(self) -> bool:
        return self.num_held >= self._num_places

    def came(self, party: Party, width: int, now: float) -> None:
        """A request has come, and waits or takes its places next."""
        self.forget(now)
        known = self._active.get(party)
        if known is None:
            known = self._active[party] = _Active(self._weight_of(party[1]), now)
            self._weigh()
        known.num_waiting += width
        self._needs[party[0]] += width
        self._seen(party, now)
        if party[0] == self._highest and party not in self._floods:
            self._learn(party)

    def begin(self, party: Party, width: int) -> None:
        """One of its requests takes its places."""
        known = self._active[party]
        known.num_waiting -= width
        known.num_held += width
        self._held[party[0]] += width
        self.num_held += width

    def left(self, party: Party, width: int, now: float) -> None:
        """One of its requests waits no longer, and has had no place."""
        self._active[party].num_waiting -= width
        self._needs[party[0]] -= width
        self._seen(party, now)

    def end(self, party: Party, width: int, now: float) -> None:
        """One of its requests gives its places back."""
        self._active[party].num_held -= width
        self._needs[party[0]] -= width
        self._held[party[0]] -= width
        self.num_held -= width
        self._seen(party, now)

    def may_begin(self, party: Party) -> bool:
        """Whether a tenant may take a place, if one is free."""
        if self._is_beyond_reserve():
            return True
        if self._is_lower(party[0]):
            return not self._held[party[0]]
        known = self._active.get(party)
        if known is None or not known.num_held or len(self._active) == 1:
            return True
        most = share = self._share(known)
        if party not in self._floods:
            most += BURST * math.sqrt(share)
        return known.num_held < most

    def forget(self, now: float) -> None:
        """Drop tenants that are no longer active; one look at each at most."""
        self._now = now
        num_before = len(self._active)
        for _ in range(num_before):
            party, known = next(iter(self._active.items()))
            if known.seen_at + ACTIVE_S > now:
                break
            if known.need:
                known.seen_at = now
                self._active.move_to_end(party)
            else:
                del self._active[party]
        if len(self._active) < num_before:
            self._weigh()

    def next_change(self, now: float) -> float:
        """Seconds until a tenant may no longer be active. There has to be one, as of ``forget``."""
        return next(iter(self._active.values())).seen_at + ACTIVE_S - now

    def _learn(self, newcomer: Party) -> None:
        """Tell the reserve how one fared that is no flood, where there are any."""
        floods = [self._active[party] for party in self._floods]
        modest = self._needs[self._highest] - sum(flood.need for flood in floods)
        self._reserve.needed(modest, self._now)
        excess = sum(max(0, f.num_held - max(1, int(self._share(f)))) for f in floods)
        lower = [name for name in _CLASSES if self._is_lower(name)]
        excess += sum(max(0, self._held[name] - 1) for name in lower)
        if not floods and not any(self._needs[name] for name in lower):
            return
        if not self.is_full and self.may_begin(newcomer):
            self._reserve.found()
            return
        held = self._held[self._highest] - sum(flood.num_held for flood in floods)
        if excess >= modest - held:  # all that wait would have their places
            self._reserve.missed()
        else:
            self._reserve.crowded()

    def _is_beyond_reserve(self) -> bool:
        reserve = self._reserve.num_places(self._now)
        least = self._look_ahead + reserve if reserve else 0
        return self._num_places - self.num_held > least

    def _is_lower(self, name: RequestClass) -> bool:
        return _CLASSES.index(name) > _CLASSES.index(self._highest)

    def _share(self, known: _Active) -> float:
        return self._num_places * known.weight / self._weights

    def _seen(self, party: Party, now: float) -> None:
        known = self._active[party]
        known.seen_at = now
        self._active.move_to_end(party)
        self._mark(party)
        self.forget(now)

    def _mark(self, party: Party) -> None:
        """Note whether one of the highest class is a flood."""
        known, share = self._active[party], 0.0
        is_flood = party[0] == self._highest
        if is_flood:
            share = self._share(known)
            is_flood = known.need > share + FLOOD * math.sqrt(share)
        (self._floods.add if is_flood else self._floods.discard)(party)

    def _weigh(self) -> None:
        """Find the highest class again, its tenants' shares and who of them is a flood."""
        names = {name for name, _ in self._active}
        self._highest = next((name for name in _CLASSES if name in names), _CLASSES[0])
        highest = [party for party in self._active if party[0] == self._highest]
        self._weights = sum(self._active[party].weight for party in highest)
        self._floods.clear()
        for party in highest:
            self._mark(party)


_CLASSES: Final[tuple[RequestClass, ...]] = get_args(RequestClass)
