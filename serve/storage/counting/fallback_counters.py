"""Counters that go on where the shared ones are away: open, and bounded (ADR 0013).

While the shared store does not answer, this replica counts by itself, each limit divided by the
replicas that there were: together they let through about as much as before. What was reserved here
is settled here, also after the store is back. What was reserved there and cannot be settled there
is counted here, so that it is not forgotten; there its lease ends.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence

from serve.storage.counting.counters import Balance, Claim, Counters, Decision, StoreUnavailable
from serve.storage.counting.memory_counters import MAX_RESERVATIONS, MemoryCounters

log = logging.getLogger(__name__)


class FallbackCounters(Counters):
    """Shared counters, and this process' own while those are away.

    Args:
        shared: which raises StoreUnavailable at once while it is known to be away.
        num_replicas: replicas that shared it, when it was seen last.
        own: tests replace them.

    Attributes:
        is_shared_away: whether the shared counters did not answer the last call.
    """

    def __init__(
        self,
        shared: Counters,
        num_replicas: Callable[[], int],
        own: Counters | None = None,
    ) -> None:
        self.is_shared_away = False
        self._shared = shared
        self._num_replicas = num_replicas
        self._own = own or MemoryCounters()
        self._own_ids: dict[str, None] = {}  # reserved or settled here, the oldest first

    async def reserve(
        self, reservation_id: str, claims: Sequence[Claim], *, lease_ms: int
    ) -> Decision:
        if reservation_id not in self._own_ids:
            try:
                decision = await self._shared.reserve(reservation_id, claims, lease_ms=lease_ms)
            except StoreUnavailable as error:
                self._note(error)
            else:
                self._note(None)
                return decision
        decision = await self._own.reserve(reservation_id, self._shares(claims), lease_ms=lease_ms)
        if decision.refused is None:
            self._remember(reservation_id)
        return decision

    async def settle(self, reservation_id: str, claims: Sequence[Claim]) -> bool:
        if reservation_id not in self._own_ids:
            try:
                is_first = await self._shared.settle(reservation_id, claims)
            except StoreUnavailable as error:
                self._note(error)
            else:
                self._note(None)
                return is_first
        is_first = await self._own.settle(reservation_id, self._shares(claims))
        self._remember(reservation_id)  # a second call is answered by the same store
        return is_first

    async def extend(self, reservation_ids: Sequence[str], *, lease_ms: int) -> None:
        own = [each for each in reservation_ids if each in self._own_ids]
        others = [each for each in reservation_ids if each not in self._own_ids]
        if own:
            await self._own.extend(own, lease_ms=lease_ms)
        if others:
            try:
                await self._shared.extend(others, lease_ms=lease_ms)
            except StoreUnavailable as error:
                self._note(error)
            else:
                self._note(None)

    async def balances(self, claims: Sequence[Claim]) -> tuple[Balance, ...]:
        try:
            balances = await self._shared.balances(claims)
        except StoreUnavailable as error:
            self._note(error)
            return await self._own.balances(self._shares(claims))
        self._note(None)
        return balances

    async def close(self) -> None:
        await self._shared.close()
        await self._own.close()

    def _remember(self, reservation_id: str) -> None:
        self._own_ids[reservation_id] = None
        if len(self._own_ids) > MAX_RESERVATIONS:
            del self._own_ids[next(iter(self._own_ids))]

    def _shares(self, claims: Sequence[Claim]) -> list[Claim]:
        """The claims with this replica's part of each limit, at least 1 where it is not 0."""
        num_replicas = max(1, self._num_replicas())
        return [
            dataclasses.replace(claim, limit=max(min(1, claim.limit), claim.limit // num_replicas))
            for claim in claims
        ]

    def _note(self, error: StoreUnavailable | None) -> None:
        is_away = error is not None
        if is_away and not self.is_shared_away:
            log.warning("limits count by replica", extra={"reason": str(error)})
        elif self.is_shared_away and not is_away:
            log.warning("limits are shared again")
        self.is_shared_away = is_away
