"""Arithmetic of one account, in whole numbers: what leaks, what has room, how long to wait.

Pure functions, shared by the counters in memory and in SQL. Those in Valkey have the same rules in
Lua (lua/account.lua), and one contract suite and one state machine hold all of them to it.

A leaking account is a leaky bucket: `limit` leaks away in `leak_ms`, evenly. What is left after a
millisecond is seldom a whole number, so a level holds `whole` + `part` / `leak_ms` and nothing is
ever rounded. Both stay below 2**53, where the floating-point numbers of Lua are still exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from serve.storage.counting.counters import Balance, Claim, Decision

MAX_AMOUNT = 10**12
"""The largest amount and limit: a million units of money in millionths."""
MAX_LEVEL = 9 * 10**15
"""More is not counted: nine thousand of the largest amounts, and below 2**53."""
MAX_LEAK_MS = 86_400_000
"""A day; its square is below 2**53."""
MAX_MS = 400 * 86_400_000
"""The longest time that is kept: a year and a month."""
MAX_CLAIMS = 64
MAX_ID_CHARACTERS = 64
MAX_ACCOUNT_CHARACTERS = 512
TOMBSTONE_MS = 900_000
"""How long it is remembered that an id was settled."""


@dataclass(frozen=True, slots=True)
class Level:
    """Amount that was settled in an account, ``whole`` + ``part`` / leak_ms, at a moment.

    Attributes:
        part: at least 0, below leak_ms; 0 where nothing leaks.
        at_ms: when it was that much; it has leaked since.
    """

    whole: int = 0
    part: int = 0
    at_ms: int = 0

    @property
    def rounded_up(self) -> int:
        return self.whole + (self.part > 0)


@dataclass(frozen=True, slots=True)
class Usage:
    """One account at a moment: its level, leaked to that moment, and what is reserved."""

    level: Level
    reserved: int

    @property
    def total(self) -> int:
        return self.level.rounded_up + self.reserved


def leaked(level: Level, claim: Claim, now_ms: int) -> Level:
    """The level at ``now_ms``. A moment before its own leaks nothing and takes nothing back."""
    elapsed_ms = now_ms - level.at_ms
    if elapsed_ms <= 0:
        return level
    if claim.leak_ms is None:
        return Level(level.whole, 0, now_ms)
    left = max(0, _scaled(level, claim.leak_ms) - claim.limit * elapsed_ms)
    return Level(*divmod(left, claim.leak_ms), now_ms)


def added(level: Level, amount: int) -> Level:
    """The level with an amount more, at most ``MAX_LEVEL``."""
    return Level(min(MAX_LEVEL, level.whole + amount), level.part, level.at_ms)


def forget_at_ms(level: Level, claim: Claim, now_ms: int) -> int:
    """The moment from which it may be forgotten: kept as asked, and until it has leaked empty."""
    keep_ms = claim.keep_ms
    if claim.leak_ms is not None and claim.limit > 0:
        keep_ms = max(keep_ms, -(-_scaled(level, claim.leak_ms) // claim.limit))
    return now_ms + min(keep_ms, MAX_MS)


def first_refusing(claims: Sequence[Claim], usages: Sequence[Usage]) -> int | None:
    """Index of the first enforced claim that has no room."""
    for index, (claim, usage) in enumerate(zip(claims, usages, strict=True)):
        if claim.is_enforced and not _has_room(claim, usage):
            return index
    return None


def granted(claims: Sequence[Claim], usages: Sequence[Usage]) -> Decision:
    """The decision that reserved. ``usages`` are those after it."""
    over = tuple(
        index
        for index, (claim, usage) in enumerate(zip(claims, usages, strict=True))
        if not claim.is_enforced and usage.total > claim.limit
    )
    return Decision(refused=None, balances=balances(claims, usages), over=over)


def refused(claims: Sequence[Claim], usages: Sequence[Usage], index: int) -> Decision:
    """The decision that reserved nothing, for the claim at ``index`` had no room."""
    wait_ms = _wait_ms(claims[index], usages[index])
    if wait_ms is not None:
        for claim, usage in zip(claims, usages, strict=True):
            if claim.is_enforced and not _has_room(claim, usage):
                wait_ms = max(wait_ms, _wait_ms(claim, usage) or 0)
    return Decision(refused=index, balances=balances(claims, usages), wait_ms=wait_ms)


def balances(claims: Sequence[Claim], usages: Sequence[Usage]) -> tuple[Balance, ...]:
    """One balance for each claim, in their order."""
    return tuple(
        Balance(
            account=claim.account,
            settled=usage.level.rounded_up,
            reserved=usage.reserved,
            limit=claim.limit,
        )
        for claim, usage in zip(claims, usages, strict=True)
    )


def check(reservation_id: str, claims: Sequence[Claim], lease_ms: int = 1) -> None:
    """Raise where the counters cannot hold what is asked.

    Raises:
        ValueError: a number or a name is out of its range, or two claims are of one account.
    """
    if not 1 <= len(reservation_id) <= MAX_ID_CHARACTERS:
        raise ValueError(
            f"a reservation's id has 1 to {MAX_ID_CHARACTERS} characters, not {len(reservation_id)}"
        )
    _check_range("lease_ms", lease_ms, 1, MAX_MS)
    check_claims(claims)


def check_claims(claims: Sequence[Claim]) -> None:
    """The same of claims alone."""
    if len(claims) > MAX_CLAIMS:
        raise ValueError(f"{len(claims)} claims at once: at most {MAX_CLAIMS}")
    if len({claim.account for claim in claims}) < len(claims):
        raise ValueError("two claims are of one account")
    for claim in claims:
        _check_range(
            "the length of an account's name", len(claim.account), 1, MAX_ACCOUNT_CHARACTERS
        )
        _check_range("amount", claim.amount, 0, MAX_AMOUNT)
        _check_range("limit", claim.limit, 0, MAX_AMOUNT)
        _check_range("keep_ms", claim.keep_ms, 1, MAX_MS)
        if claim.leak_ms is not None:
            _check_range("leak_ms", claim.leak_ms, 1, MAX_LEAK_MS)


def _check_range(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name} is {value}: {least} to {most}")


def _scaled(level: Level, leak_ms: int) -> int:
    # A level written under another leak_ms is off by less than one.
    return level.whole * leak_ms + min(level.part, leak_ms - 1)


def _has_room(claim: Claim, usage: Usage) -> bool:
    return usage.total + claim.amount <= claim.limit


def _wait_ms(claim: Claim, usage: Usage) -> int | None:
    if claim.leak_ms is None or usage.reserved + claim.amount > claim.limit or claim.limit == 0:
        return None
    room = (claim.limit - usage.reserved - claim.amount) * claim.leak_ms
    return max(0, -(-(_scaled(usage.level, claim.leak_ms) - room) // claim.limit))
