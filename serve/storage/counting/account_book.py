"""A book: accounts and reservations that were read at once, in which much is done before it is
written at once.

It knows no SQL (account_rows.py reads and writes it), and does what the counters say of one call
after the other: each sees what those before it did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from serve.storage.counting import account_rules as rules
from serve.storage.counting.account_rules import Level, Usage
from serve.storage.counting.counters import Balance, Claim, Decision
from serve.storage.counting.steady_time import SteadyTime

NAMELESS = ""
"""The account of rows that hold nothing: those of tombstones, and of what claims nothing."""


@dataclass(frozen=True, slots=True)
class Held:
    """One row of a reservation, or its tombstone."""

    account: str
    amount: int
    ends_at_ms: int
    is_settled: bool = False


@dataclass(slots=True)
class Book:
    """Accounts and reservations at one moment.

    Attributes:
        time: of the counters, now.
        sweep_at_ms: when to sweep next; None while nothing was ever written.
        levels: by account; one that is not there is empty.
        reserved: by account: sums of the leases that run. Has all accounts that are claimed.
        held: rows by the reservation's id.
        changed: when each account whose level is to be written may be forgotten.
        gone: ids whose rows are to be deleted.
        new: rows to be inserted, by id; after that.
    """

    time: SteadyTime = field(default_factory=SteadyTime)
    sweep_at_ms: int | None = None
    levels: dict[str, Level] = field(default_factory=dict)
    reserved: dict[str, int] = field(default_factory=dict)
    held: dict[str, list[Held]] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    new: dict[str, list[Held]] = field(default_factory=dict)

    @property
    def now_ms(self) -> int:
        return self.time.now_ms

    def reserve(self, reservation_id: str, claims: Sequence[Claim], lease_ms: int) -> Decision:
        """``Counters.reserve``."""
        usages = self._usages(claims)
        if self._is_known(reservation_id):
            return rules.granted(claims, usages)
        index = rules.first_refusing(claims, usages)
        if index is not None:
            return rules.refused(claims, usages, index)
        ends_at_ms = self.now_ms + lease_ms
        rows = [Held(claim.account, claim.amount, ends_at_ms) for claim in claims]
        self._replace(reservation_id, rows or [Held(NAMELESS, 0, ends_at_ms)])
        return rules.granted(claims, self._usages(claims))

    def settle(self, reservation_id: str, claims: Sequence[Claim]) -> bool:
        """``Counters.settle``."""
        if any(row.is_settled for row in self.held.get(reservation_id, ())):
            return False
        tombstone = Held(NAMELESS, 0, self.now_ms + rules.TOMBSTONE_MS, is_settled=True)
        self._replace(reservation_id, [tombstone])
        for claim in claims:
            level = rules.added(self._level(claim), claim.amount)
            self.levels[claim.account] = level
            self.changed[claim.account] = rules.forget_at_ms(level, claim, self.now_ms)
        return True

    def balances(self, claims: Sequence[Claim]) -> tuple[Balance, ...]:
        """``Counters.balances``."""
        return rules.balances(claims, self._usages(claims))

    def _usages(self, claims: Sequence[Claim]) -> list[Usage]:
        return [Usage(self._level(claim), self.reserved[claim.account]) for claim in claims]

    def _level(self, claim: Claim) -> Level:
        """The claim's account as it is now."""
        return rules.leaked(self.levels.get(claim.account, Level()), claim, self.now_ms)

    def _is_known(self, reservation_id: str) -> bool:
        """Whether an id is reserved or was settled."""
        rows = self.held.get(reservation_id, ())
        return any(row.is_settled or row.ends_at_ms > self.now_ms for row in rows)

    def _replace(self, reservation_id: str, rows: list[Held]) -> None:
        """Put rows in the place of those that the id has, if any."""
        if reservation_id not in self.new and reservation_id in self.held:
            self.gone.add(reservation_id)
        for row in self.held.get(reservation_id, ()):
            self._hold(row, -row.amount)
        for row in rows:
            self._hold(row, row.amount)
        self.held[reservation_id] = self.new[reservation_id] = rows

    def _hold(self, row: Held, amount: int) -> None:
        # An account that nobody claims is in no sum that was read.
        if row.ends_at_ms > self.now_ms and row.account in self.reserved:
            self.reserved[row.account] += amount
