"""The bars of a start on a terminal, and the log lines that are written while they move."""

from __future__ import annotations

import io
import sys
import threading
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from serve.observe.startup import BESIDE

IN_BYTES = frozenset({"download", "verify_source", "quantize", "measure", "verify", "load_weights"})


class LoadingBars:
    """A progress bar for each start-up phase on a terminal; silent elsewhere.

    Called with phase, done and total, from any thread.
    """

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description:>14}"),
            BarColumn(),
            TextColumn("{task.fields[amount]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()
        self._are_shown = False

    def __enter__(self) -> Self:
        self._progress.start()
        self._are_shown = not self._progress.disable
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __call__(self, phase: str, done: int, total: int) -> None:
        with self._lock:
            if phase not in self._tasks:
                if phase not in BESIDE:
                    for name, task in self._tasks.items():
                        if name not in BESIDE:
                            self._progress.stop_task(task)
                name = phase.replace("_", " ")
                self._tasks[phase] = self._progress.add_task(name, amount="", total=total or None)
            amount = f"{done / 1e6:,.0f} of {total / 1e6:,.0f} MB" if phase in IN_BYTES else ""
            if phase in BESIDE and done >= total:
                self._progress.stop_task(self._tasks[phase])
            self._progress.update(
                self._tasks[phase], completed=done, total=total or None, amount=amount
            )

    def close(self) -> None:
        """Take the bars away. Calling it again does nothing."""
        self._progress.stop()
        self._are_shown = False

    def write_above(self, text: str) -> bool:
        """Write whole lines above the bars; False where there are none, and nothing is written."""
        if not self._are_shown:
            return False
        line = Text.from_ansi(text.removesuffix("\n"))
        self._progress.console.print(line, soft_wrap=True)  # as it is: JSON is to be copied
        return True


class AboveBars(io.TextIOBase):
    """Standard error for log lines: while bars move, a line goes above them, not into their row."""

    def __init__(self, bars: LoadingBars) -> None:
        super().__init__()
        self._bars = bars

    def isatty(self) -> bool:
        return sys.stderr.isatty()

    def write(self, text: str) -> int:
        """Write whole lines."""
        return len(text) if self._bars.write_above(text) else sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()
