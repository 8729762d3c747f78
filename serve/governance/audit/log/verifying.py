"""Verification of a whole log: all is computed again from entries, and the first bad one named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Progress = Callable[[int, int], None]
"""Told the entries that were verified and those there are, now and then."""


@dataclass(frozen=True)
class BadEntry:
    """The first thing in a log that does not hold.

    Attributes:
        index: of the first entry that it concerns; None where it is the checkpoint itself.
        place: the file, relative to the log's folder.
        reason: a clause that says what is wrong.
    """

    index: int | None
    place: str
    reason: str

    def __str__(self) -> str:
        return f"{'the log' if self.index is None else f'entry {self.index}'}: {self.reason} ({self.place})"


@dataclass(frozen=True)
class Verification:
    """The outcome.

    Attributes:
        size: entries under the checkpoint.
        num_verified: entries whose content was hashed.
        num_journal: entries that the journal has behind the checkpoint.
        minimum_index: entries before it were pruned: of them only hashes are left.
        bad: None where all holds.
    """

    size: int
    num_verified: int
    num_journal: int = 0
    minimum_index: int = 0
    bad: BadEntry | None = None

    @property
    def is_ok(self) -> bool:
        return self.bad is None
