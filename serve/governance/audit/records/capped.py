"""Records that nobody waits for, and of which there may be any number: bounded, and counted beyond.

A flood of wrong keys must not fill the disk, nor push other records out. In each window the first
ones of a type are written, the others counted by their error; what has no room while the log is
away is counted as lost. The counts become a record as soon as one can be written.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Final, Protocol

from serve import timeline
from serve.governance.audit.records.canonical import Record, encoded
from serve.governance.audit.records.forms import Stamps, counted

WINDOW_S: Final = 10.0
MAX_WAITING: Final = 1024


class LossListener(Protocol):
    """A listener that is told of records that are lost."""

    def audit_lost(self, kind: str) -> None: ...


class Capped:
    """The records of one type that wait to be written.

    Args:
        kind: the type.
        stamps: for the record of counts.
        most: records in a window.
        listener: told of each that is lost.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        kind: str,
        stamps: Stamps,
        *,
        most: int,
        listener: LossListener | None = None,
        clock: Callable[[], float] = timeline.now,
    ) -> None:
        self._kind = kind
        self._stamps = stamps
        self._most = most
        self._listener = listener
        self._clock = clock
        self._window_at = clock()
        self._num_in_window = 0
        self._waiting: deque[bytes] = deque()
        self._counted: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()

    @property
    def num_waiting(self) -> int:
        """Records that wait, those of counts included."""
        return len(self._waiting)

    def add(self, record: Record) -> None:
        """Take a record, or count it. ``error`` is what it is counted by."""
        self._turn()
        error = str(record.get("error") or record.get("status") or "other")
        self._num_in_window += 1
        if self._num_in_window > self._most:
            self._counted[error] += 1
        elif len(self._waiting) >= MAX_WAITING:
            self._lost[error] += 1
            if self._listener is not None:
                self._listener.audit_lost(self._kind)
        else:
            self._waiting.append(encoded(record))

    def take(self, most: int) -> list[bytes]:
        """Entries to write now, at most so many; ``put_back`` returns those that could not be."""
        self._turn()
        if self._lost and len(self._waiting) < MAX_WAITING:
            self._add_count(self._lost, is_lost=True)
        return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

    def put_back(self, entries: list[bytes]) -> None:
        """Take back what could not be written."""
        self._waiting.extendleft(reversed(entries))

    def finish(self) -> None:
        """End the window: what was counted becomes a record."""
        self._window_at -= WINDOW_S
        self._turn()

    def _turn(self) -> None:
        now = self._clock()
        if now - self._window_at < WINDOW_S:
            return
        self._window_at, self._num_in_window = now, 0
        if self._counted:
            self._add_count(self._counted, is_lost=False)

    def _add_count(self, counts: Counter[str], *, is_lost: bool) -> None:
        self._waiting.append(encoded(counted(self._stamps, self._kind, counts, is_lost=is_lost)))
        counts.clear()
