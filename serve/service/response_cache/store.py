"""The stores of answers: bytes under names, of which the ones unused for longest go first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

OVERHEAD_BYTES: Final = 400
"""Counted for each entry beside its value: its name, and what keeps track of it."""


class AnswerStore(Protocol):
    """Answers as bytes. tests/contracts/answer_store.py holds every store to what is said here.

    Bounded in bytes, in entries and in age; it may forget anything at any time, and never gives one
    name's value for another's.
    """

    async def find(self, name: bytes) -> bytes | None:
        """The value of a name; None where there is none, or it is too old.

        Raises:
            StoreUnavailable: it was not answered.
        """
        ...

    async def keep(self, name: bytes, value: bytes) -> None:
        """Keep a value, in the place of the one that the name has.

        Raises:
            StoreUnavailable: whether it was kept is not known.
        """
        ...

    def figures(self) -> Mapping[str, float]:
        """Figures for a scrape, by the families' names."""
        ...

    async def close(self) -> None:
        """Let go of what it holds."""
        ...
