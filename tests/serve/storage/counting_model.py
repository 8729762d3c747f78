"""A plain model of the counters: fractions, dictionaries, and no thought of speed.

It is what serve/storage/counting/counters.py says, written once more and otherwise: no code of the
stores is used, and every number that they tell is computed here in another way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from serve.storage.counting.counters import Balance, Claim, Decision


@dataclass
class Held:
    """A reservation, and whether it was settled."""

    amounts: dict[str, int]
    ends_at: int
    settled_at: int | None = None


@dataclass
class Model:
    """Accounts, and time that goes forward with a clock and never back."""

    now: int = 0
    clock: int | None = None
    settled: dict[str, Fraction] = field(default_factory=dict)
    leaked_at: dict[str, int] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)

    def look_at(self, clock: int) -> None:
        """Take note of what the store's clock says at a call."""
        if self.clock is not None and clock > self.clock:
            self.now += clock - self.clock
        self.clock = clock

    def is_running(self, reservation_id: str) -> bool:
        held = self.held.get(reservation_id)
        return held is not None and held.settled_at is None and self.now < held.ends_at

    def reserved(self, account: str) -> int:
        return sum(
            held.amounts.get(account, 0) for key, held in self.held.items() if self.is_running(key)
        )

    def level(self, claim: Claim) -> Fraction:
        settled = self.settled.get(claim.account, Fraction(0))
        if claim.leak_ms is None:
            return settled
        elapsed = self.now - self.leaked_at.get(claim.account, self.now)
        return max(Fraction(0), settled - Fraction(claim.limit * elapsed, claim.leak_ms))

    def balances(self, claims: Sequence[Claim]) -> tuple[Balance, ...]:
        return tuple(
            Balance(
                account=claim.account,
                settled=math.ceil(self.level(claim)),
                reserved=self.reserved(claim.account),
                limit=claim.limit,
            )
            for claim in claims
        )

    def excess(self, claim: Claim, amount: int) -> Fraction:
        """How much too much it would be; at most 0 where it fits."""
        return self.level(claim) + self.reserved(claim.account) + amount - claim.limit

    def reserve(self, reservation_id: str, claims: Sequence[Claim], lease_ms: int) -> Decision:
        held = self.held.get(reservation_id)
        if not self.is_running(reservation_id) and (held is None or held.settled_at is None):
            short = [
                index
                for index, claim in enumerate(claims)
                if claim.is_enforced and self.excess(claim, claim.amount) > 0
            ]
            if short:
                waits = [self.wait(claims[index]) for index in short]
                wait = None if waits[0] is None else max(each for each in waits if each is not None)
                return Decision(refused=short[0], balances=self.balances(claims), wait_ms=wait)
            amounts = {claim.account: claim.amount for claim in claims}
            self.held[reservation_id] = Held(amounts, self.now + lease_ms)
        over = tuple(
            index
            for index, claim in enumerate(claims)
            if not claim.is_enforced and self.excess(claim, 0) > 0
        )
        return Decision(refused=None, balances=self.balances(claims), over=over)

    def wait(self, claim: Claim) -> int | None:
        if claim.leak_ms is None or claim.limit == 0:
            return None
        if self.reserved(claim.account) + claim.amount > claim.limit:
            return None
        return math.ceil(self.excess(claim, claim.amount) / Fraction(claim.limit, claim.leak_ms))

    def settle(self, reservation_id: str, claims: Sequence[Claim]) -> bool:
        held = self.held.setdefault(reservation_id, Held({}, self.now))
        if held.settled_at is not None:
            return False
        held.settled_at = self.now
        for claim in claims:
            self.settled[claim.account] = self.level(claim) + claim.amount
            self.leaked_at[claim.account] = self.now
        return True

    def extend(self, ids: Sequence[str], lease_ms: int) -> None:
        for each in ids:
            if self.is_running(each):
                self.held[each].ends_at = self.now + lease_ms
