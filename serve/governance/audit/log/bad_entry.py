"""A finding of a log's verification."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BadEntry:
    """The first thing in a log that does not hold.

    Attributes:
        index: of the first entry that it concerns; None where it concerns the log as a whole.
        place: the file, relative to the log's folder.
        reason: a clause that says what is wrong.
    """

    index: int | None
    place: str
    reason: str

    def __str__(self) -> str:
        subject = "the log" if self.index is None else f"entry {self.index}"
        return f"{subject}: {self.reason} ({self.place})"


class BadEntryFound(Exception):
    """Verification ends here.

    Attributes:
        bad: what was found.
    """

    def __init__(self, index: int | None, place: str, reason: str) -> None:
        self.bad = BadEntry(index, place, reason)
        super().__init__(str(self.bad))
