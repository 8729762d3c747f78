"""The gap: calls that a log could not record and that passed nevertheless, counted until it can."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from serve.governance.audit.records.canonical import Record
from serve.governance.audit.records.forms import Stamps


class GapListener(Protocol):
    """A listener that is told of what passes unrecorded."""

    def audit_passed(self) -> None: ...


class Gap:
    """Counts since the log went away.

    Args:
        stamps: for the record.
        listener: told of each call.
    """

    def __init__(self, stamps: Stamps, listener: GapListener | None = None) -> None:
        self._stamps = stamps
        self._listener = listener
        self._since = ""
        self._counts: Counter[str] = Counter()

    def call_passed(self) -> None:
        """Count a call that ran, or was answered, and has no record."""
        self._count("calls")

    def act_passed(self) -> None:
        """Count an administrator's act that has no record."""
        self._count("acts")

    def end_passed(self) -> None:
        """Count a call that was answered before its end was recorded; that comes late."""
        self._count("late_ends")

    def piece_passed(self) -> None:
        """Count a piece of a stream that was released and has no record; its call has one."""
        self._note("pieces")

    def take(self) -> Record | None:
        """The record of all that passed, to be written now; None where nothing did."""
        if not self._since:
            return None
        told = self._stamps.stamped("gap", since=self._since, **self._counts)
        self._since = ""
        self._counts.clear()
        return told

    def _note(self, name: str) -> None:
        self._since = self._since or str(self._stamps.stamped("gap")["at"])
        self._counts[name] += 1

    def _count(self, name: str) -> None:
        self._note(name)
        if self._listener is not None:
            self._listener.audit_passed()
