"""A terminal that does not show what is typed while an answer comes: it would stand in its rows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

try:
    import termios
except ImportError:  # pragma: no cover - no terminals of that kind here
    termios = None  # type: ignore[assignment]


@contextmanager
def quiet_input() -> Iterator[None]:
    """Turn echo off within. What is typed is kept for the next prompt; Ctrl-C works as ever."""
    if termios is None or not sys.stdin.isatty():
        yield
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    silent = list(before)
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(descriptor, termios.TCSANOW, silent)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)
