"""The log that records are written to, as this part sees it: entries in, indices out."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol


class LogAwayError(Exception):
    """The log cannot be written, or opened. The message says why, as the end of a sentence."""


class EntryLog(Protocol):
    """A log that is open, by its one writer.

    Attributes:
        recovered: what was cut off or set aside when it was opened, in words; empty where nothing.
    """

    recovered: str

    @property
    def size(self) -> int:
        """Entries that are durable."""
        ...

    async def append(self, entries: Sequence[bytes]) -> int:
        """Append entries, all of them durable on return. The index of the first.

        Raises:
            LogAwayError: perhaps some are written, perhaps none; nothing more can be appended.
        """
        ...

    def first_index(self) -> int:
        """The index of the first entry that is there: those before it were pruned. Blocks.

        Raises:
            LogAwayError: it cannot be read.
        """
        ...

    def read(self, start: int, end: int) -> Sequence[bytes]:
        """Entries of a range. Blocks.

        Raises:
            LogAwayError: they cannot be read.
        """
        ...

    async def close(self) -> None:
        """Let go of it, so that it can be opened again."""
        ...


OpenLog = Callable[[], Coroutine[Any, Any, EntryLog]]
"""Opens a log, or raises LogAwayError."""
