"""Rows of text on a terminal that grow and change, written so that nothing flickers.

Only rows that differ from what is there are written, in one piece; the cursor rests below them.
What has left the screen at its top cannot be reached any more, and stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TextIO

UP = "\x1b[{}A"
ERASE_REST_OF_ROW = "\x1b[K"
ERASE_BELOW = "\x1b[J"


class RowPainter:
    """Paints rows, each shorter than the terminal is wide.

    Args:
        out: the terminal.
        height: its rows, asked at each painting.
    """

    def __init__(self, out: TextIO, height: Callable[[], int]) -> None:
        self._out, self._height = out, height
        self._painted: list[str] = []

    def paint(self, rows: Sequence[str]) -> None:
        """Have these rows stand there in place of those of the last call."""
        before = self._painted
        same = next(
            (i for i, (old, new) in enumerate(zip(before, rows, strict=False)) if old != new),
            min(len(before), len(rows)),
        )
        first = max(same, len(before) - (self._height() - 1))
        if first == len(before) == len(rows):
            return
        up = len(before) - first
        text = UP.format(up) if up else ""
        text += "".join(f"{row}{ERASE_REST_OF_ROW}\n" for row in rows[first:])
        if len(rows) < len(before):
            text += ERASE_BELOW
        self._painted = [*before[:first], *rows[first:]]
        self._out.write(text)
        self._out.flush()

    def release(self, num_rows: int) -> None:
        """Leave the first rows as they are, for good: the next ones are painted below them."""
        del self._painted[:num_rows]
