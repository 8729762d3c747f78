"""Counters in memory: one process' own, lost with it.

Leases end by the monotonic clock, so nobody who sets the machine's clock changes anything. What
has run out is cleared by the calls that come: each lease ends once, each account is forgotten once,
and a call forgets a few at most beyond the leases that have ended.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from serve.storage.counting import account_rules as rules
from serve.storage.counting.account_rules import Level, Usage
from serve.storage.counting.counters import Balance, Claim, Counters, Decision, StoreUnavailable
from serve.storage.counting.steady_time import SteadyTime

MAX_ACCOUNTS = 100_000
MAX_RESERVATIONS = 100_000
MAX_FORGOTTEN = 16
"""Accounts and tombstones that one call forgets."""


def monotonic_ms() -> int:
    """Milliseconds that only go forward."""
    return time.monotonic_ns() // 1_000_000


@dataclass(slots=True)
class _Account:
    level: Level = field(default_factory=Level)
    reserved: int = 0
    forget_at_ms: int = 0


@dataclass(slots=True)
class _Reservation:
    amounts: dict[str, int]
    ends_at_ms: int


class MemoryCounters(Counters):
    """Counters of one process. Safe for several threads; no call waits for anything but them.

    Args:
        clock: milliseconds; tests replace it.
        max_accounts: that are held at once; StoreUnavailable beyond it.
        max_reservations: likewise, and settled ids that are remembered.
    """

    def __init__(
        self,
        clock: Callable[[], int] = monotonic_ms,
        *,
        max_accounts: int = MAX_ACCOUNTS,
        max_reservations: int = MAX_RESERVATIONS,
    ) -> None:
        self._clock = clock
        self._time = SteadyTime()
        self._max_accounts = max_accounts
        self._max_reservations = max_reservations
        self._lock = threading.Lock()
        self._accounts: dict[str, _Account] = {}
        self._reservations: dict[str, _Reservation] = {}
        self._settled: set[str] = set()
        # One entry for each account and reservation; those that moved meanwhile are put back.
        self._forgetting: list[tuple[int, str]] = []
        self._ending: list[tuple[int, str]] = []
        self._tombstones: deque[tuple[int, str]] = deque()

    async def reserve(
        self, reservation_id: str, claims: Sequence[Claim], *, lease_ms: int
    ) -> Decision:
        rules.check(reservation_id, claims, lease_ms)
        with self._lock:
            now_ms = self._begin()
            usages = self._usages(claims, now_ms)
            if reservation_id in self._reservations or reservation_id in self._settled:
                return rules.granted(claims, usages)
            index = rules.first_refusing(claims, usages)
            if index is not None:
                return rules.refused(claims, usages, index)
            self._make_room(claims)
            if len(self._reservations) >= self._max_reservations:
                raise StoreUnavailable(f"{self._max_reservations:,} reservations are held already")
            for claim in claims:
                self._account(claim, now_ms).reserved += claim.amount
            amounts = {claim.account: claim.amount for claim in claims}
            ends_at_ms = now_ms + lease_ms
            self._reservations[reservation_id] = _Reservation(amounts, ends_at_ms)
            heapq.heappush(self._ending, (ends_at_ms, reservation_id))
            return rules.granted(claims, self._usages(claims, now_ms))

    async def settle(self, reservation_id: str, claims: Sequence[Claim]) -> bool:
        rules.check(reservation_id, claims)
        with self._lock:
            now_ms = self._begin()
            if reservation_id in self._settled:
                return False
            self._make_room(claims)
            self._release(reservation_id)
            for claim in claims:
                account = self._account(claim, now_ms)
                level = rules.leaked(account.level, claim, now_ms)
                account.level = rules.added(level, claim.amount)
                account.forget_at_ms = rules.forget_at_ms(account.level, claim, now_ms)
            self._remember(reservation_id, now_ms)
            return True

    async def extend(self, reservation_ids: Sequence[str], *, lease_ms: int) -> None:
        for reservation_id in reservation_ids:
            rules.check(reservation_id, (), lease_ms)
        with self._lock:
            now_ms = self._begin()
            for reservation_id in reservation_ids:
                if reservation := self._reservations.get(reservation_id):
                    if now_ms + lease_ms < reservation.ends_at_ms:
                        heapq.heappush(self._ending, (now_ms + lease_ms, reservation_id))
                    reservation.ends_at_ms = now_ms + lease_ms

    async def balances(self, claims: Sequence[Claim]) -> tuple[Balance, ...]:
        rules.check_claims(claims)
        with self._lock:
            return rules.balances(claims, self._usages(claims, self._begin()))

    async def close(self) -> None:
        """Nothing is held beyond this process."""

    @property
    def num_accounts(self) -> int:
        """Accounts that are held now."""
        return len(self._accounts)

    def _begin(self) -> int:
        """The moment of this call, after whatever has run out by then."""
        self._time = self._time.at(self._clock())
        now_ms = self._time.now_ms
        while self._ending and self._ending[0][0] <= now_ms:
            _, reservation_id = heapq.heappop(self._ending)
            reservation = self._reservations.get(reservation_id)
            if reservation is None:
                continue
            if reservation.ends_at_ms > now_ms:
                heapq.heappush(self._ending, (reservation.ends_at_ms, reservation_id))
            else:
                self._release(reservation_id)
        self._forget(now_ms, MAX_FORGOTTEN)
        return now_ms

    def _forget(self, now_ms: int, at_most: int) -> None:
        for _ in range(at_most):
            is_over = not (self._tombstones and self._tombstones[0][0] <= now_ms)
            if is_over and not (self._forgetting and self._forgetting[0][0] <= now_ms):
                return
            if self._tombstones and self._tombstones[0][0] <= now_ms:
                self._settled.discard(self._tombstones.popleft()[1])
            if self._forgetting and self._forgetting[0][0] <= now_ms:
                name = heapq.heappop(self._forgetting)[1]
                account = self._accounts[name]
                if account.reserved:  # as long again
                    account.forget_at_ms = max(account.forget_at_ms, now_ms + rules.TOMBSTONE_MS)
                if account.forget_at_ms > now_ms:
                    heapq.heappush(self._forgetting, (account.forget_at_ms, name))
                else:
                    del self._accounts[name]

    def _make_room(self, claims: Sequence[Claim]) -> None:
        num_new = sum(claim.account not in self._accounts for claim in claims)
        if len(self._accounts) + num_new > self._max_accounts:
            self._forget(self._time.now_ms, len(self._forgetting))
            if len(self._accounts) + num_new > self._max_accounts:
                raise StoreUnavailable(f"{self._max_accounts:,} accounts are held already")

    def _account(self, claim: Claim, now_ms: int) -> _Account:
        account = self._accounts.get(claim.account)
        if account is None:
            forget_at_ms = rules.forget_at_ms(Level(), claim, now_ms)
            account = self._accounts[claim.account] = _Account(forget_at_ms=forget_at_ms)
            heapq.heappush(self._forgetting, (forget_at_ms, claim.account))
        return account

    def _usages(self, claims: Sequence[Claim], now_ms: int) -> list[Usage]:
        usages = []
        for claim in claims:
            account = self._accounts.get(claim.account) or _Account()
            usages.append(Usage(rules.leaked(account.level, claim, now_ms), account.reserved))
        return usages

    def _release(self, reservation_id: str) -> None:
        if reservation := self._reservations.pop(reservation_id, None):
            for name, amount in reservation.amounts.items():
                if account := self._accounts.get(name):  # with nothing reserved it may be gone
                    account.reserved -= amount

    def _remember(self, reservation_id: str, now_ms: int) -> None:
        self._settled.add(reservation_id)
        self._tombstones.append((now_ms + rules.TOMBSTONE_MS, reservation_id))
        if len(self._tombstones) > self._max_reservations:
            self._settled.discard(self._tombstones.popleft()[1])
