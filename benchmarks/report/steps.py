"""Progress of a run: one line per step on stderr, with the time that is left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from models.progress import duration


class Steps:
    """Counts the steps of a run. On a terminal the line changes in place.

    Args:
        total: steps to do; None where nobody knows.
        stream: instead of stderr.
    """

    def __init__(
        self,
        total: int | None,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total = total
        self._stream = stream or sys.stderr
        self._clock = clock
        self._began_at = clock()
        self._done = 0

    def begin(self, name: str) -> None:
        """The next step begins. The time left is that of the steps so far, on average."""
        line = f"{self._done + 1:>3}{self._of}  {name}"
        if self._done and self._total is not None:
            each_s = (self._clock() - self._began_at) / self._done
            line += f"  ({duration(each_s * (self._total - self._done))} left)"
        self._done += 1
        self._show(line)

    def note(self, name: str) -> None:
        """The step goes on, with something else; on a terminal in the place of its line."""
        self._show(f"{self._done:>3}{self._of}  {name}")

    @property
    def _of(self) -> str:
        return "" if self._total is None else f" of {self._total}"

    def _show(self, line: str) -> None:
        is_live = self._stream.isatty()
        print(
            f"\r\x1b[K{line}" if is_live else line, end="" if is_live else "\n", file=self._stream
        )
        self._stream.flush()

    def fewer(self, count: int) -> None:
        """Note that so many steps will not be done."""
        if self._total is not None:
            self._total -= count

    def end(self) -> None:
        """Make room for what is printed next."""
        if self._stream.isatty():
            print("\r\x1b[K", end="", file=self._stream, flush=True)
