"""Counters: accounts with limits, in which room is reserved before it is used and settled after.

An account holds what was settled and what is reserved. Room is there while their sum, and what is
asked, is within the limit. All numbers are integers: tokens, requests, millionths of money. Times
are the store's own, so that replicas with different clocks agree.

Three kinds of accounts differ in how they empty::

    rates        requests or tokens a minute     leak: a full account is empty after ``leak_ms``
    budgets      tokens a day, money a month     nothing leaks; the period is part of the name
    concurrency  requests at once                settled with 0: only reservations fill it

A reservation is a lease. Whoever made it extends it while the request runs; a process that was
killed does not, and its room comes back when the lease ends. tests/contracts/counters.py holds
every store to what is said here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """Room asked of one account, or the amount to settle in it.

    Attributes:
        account: its name, with the period in it where it has one; at most 512 characters.
        amount: at least 0.
        limit: of the account; what exceeds it is refused.
        leak_ms: milliseconds in which a full account leaks empty; None leaks nothing.
        keep_ms: milliseconds after its last change when the account may be forgotten.
        is_enforced: False counts and never refuses.
    """

    account: str
    amount: int
    limit: int
    leak_ms: int | None = None
    keep_ms: int
    is_enforced: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """One account, just after a decision.

    Attributes:
        settled: used, less what has leaked, rounded up.
        reserved: held by requests that run.
        limit: the claim's.
    """

    account: str
    settled: int
    reserved: int
    limit: int

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.settled - self.reserved)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer to a reservation.

    Attributes:
        refused: index of the first enforced claim that had no room; None where all is reserved.
        balances: in the order of the claims. After a refusal nothing of the request is in them.
        over: indices of claims that have no room and are not enforced; they were reserved.
        wait_ms: after a refusal by an account that leaks, milliseconds until what was asked fits,
            if nothing else is asked meanwhile; None where no such time is known, as with budgets,
            and where what was asked exceeds the limit itself.
    """

    refused: int | None
    balances: tuple[Balance, ...]
    over: tuple[int, ...] = ()
    wait_ms: int | None = None


class StoreUnavailable(Exception):
    """The store did not answer: it is away, slow, full or read-only.

    The message has no address and no password.
    """


class Counters(Protocol):
    """A store of accounts. Safe for many tasks, threads and processes at once."""

    async def reserve(
        self, reservation_id: str, claims: Sequence[Claim], *, lease_ms: int
    ) -> Decision:
        """Reserve all claims, or none of them where an enforced one has no room.

        A second call of the same id that was reserved already changes nothing.

        Raises:
            StoreUnavailable: whether it was reserved is not known; the lease ends it if it was.
        """
        ...

    async def settle(self, reservation_id: str, claims: Sequence[Claim]) -> bool:
        """Give a reservation back, and add what was really used: each claim's ``amount``.

        What was used counts also where the lease has ended meanwhile, and beyond the limit. A
        second call of the same id changes nothing.

        Returns:
            Whether this call settled it.

        Raises:
            StoreUnavailable: whether it was settled is not known; it may be called again.
        """
        ...

    async def extend(self, reservation_ids: Sequence[str], *, lease_ms: int) -> None:
        """Let leases end so much later than now. Ids that are not reserved are passed over.

        Raises:
            StoreUnavailable: their ends are as before.
        """
        ...

    async def balances(self, claims: Sequence[Claim]) -> tuple[Balance, ...]:
        """The accounts as they are now; ``amount`` does not matter.

        Raises:
            StoreUnavailable: they are not known.
        """
        ...

    async def close(self) -> None:
        """Let go of the store."""
        ...
