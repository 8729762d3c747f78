"""Budgets that are known to be used up: what need not be rendered, nor asked of a store again.

A budget does not leak: what is settled in a period stays settled to its end. So an account that had
no room for a single token a moment ago has none now; reservations, which may be given back, do not
count. What is known is forgotten after seconds, for an operator may have restored a backup.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from serve import timeline
from serve.governance.limits.accounts import Charge
from serve.storage.counting.counters import Balance

KNOWN_FOR_S = 5.0
MAX_KNOWN = 10_000


class KnownBalances:
    """Accounts without room, as they were seen last.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = timeline.now) -> None:
        self._clock = clock
        self._full: dict[str, tuple[float, Balance]] = {}

    def note(self, charges: Sequence[Charge], balances: Sequence[Balance]) -> None:
        """Remember which of these accounts are full."""
        for charge, balance in zip(charges, balances, strict=True):
            if balance.settled >= balance.limit and charge.claim.is_enforced:
                if len(self._full) >= MAX_KNOWN:
                    self._full.clear()
                self._full[balance.account] = (self._clock(), balance)
            else:
                self._full.pop(balance.account, None)

    def used_up(self, charges: Sequence[Charge]) -> tuple[Charge, Balance] | None:
        """The first of these that is known to have no room for what is claimed."""
        for charge in charges:
            seen_at, balance = self._full.get(charge.claim.account, (0.0, None))
            if balance is None or not charge.claim.is_enforced:
                continue
            if self._clock() - seen_at >= KNOWN_FOR_S:
                del self._full[charge.claim.account]
            elif balance.settled + charge.claim.amount > charge.claim.limit:
                return charge, balance
        return None
