"""Words for a terminal: remarks and progress on stderr, so that stdout has results alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from models.cli import output

LINE_S = 5.0
"""Seconds between two lines of progress where there is no terminal."""
Told = Callable[[int, int], None]


def remark(line: str) -> None:
    """A remark for people, on stderr."""
    output.console(stderr=True).print(line, style="dim", soft_wrap=True)


@contextmanager
def progress(what: str) -> Iterator[Told]:
    """Entries on stderr: one line that changes on a terminal, else a line every few seconds."""
    console = output.console(stderr=True)
    if console.is_terminal:
        with console.status(what) as status:
            yield lambda done, total: status.update(_line(what, done, total))
        return
    last = time.monotonic()

    def told(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_S:
            last = time.monotonic()
            print(_line(what, done, total), file=sys.stderr, flush=True)

    yield told


def moment(time_s: float) -> str:
    """A moment in UTC, such as 2026-11-29T15:00:00Z."""
    at = datetime.fromtimestamp(time_s, UTC).isoformat(timespec="seconds")
    return at.replace("+00:00", "Z")


def _line(what: str, done: int, total: int) -> str:
    return f"{what}: {done:,} of {total:,} entries"
