"""Places in a text as people name them."""

from __future__ import annotations

import re
from bisect import bisect_left


class Lines:
    """The lines of a text."""

    def __init__(self, text: str) -> None:
        self._ends = [found.start() for found in re.finditer("\n", text)]

    def place(self, at: int) -> tuple[int, int]:
        """The line and the column of a character, both from 1 on."""
        before = bisect_left(self._ends, at)
        return before + 1, at - (self._ends[before - 1] if before else -1)
