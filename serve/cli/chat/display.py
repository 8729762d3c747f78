"""Displays of an answer while it comes: as it is for programs, as Markdown on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Protocol, TextIO

from rich.console import Console

from serve import timeline
from serve.cli.chat.markdown_rows import blocks, rows
from serve.cli.chat.row_painter import RowPainter

WAITING = "\x1b[2m…\x1b[0m"
FRAME_S = 0.03
"""The least time between two paintings."""
SHARE = 4
"""Paintings take a fourth of the time at most, however long a block becomes."""

_PICTURES = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"}
_CONTROLS: dict[int, int | None] = (
    _PICTURES
    | {0x7F: 0x2421, ord("\r"): None}
    | dict.fromkeys([*range(0x80, 0xA0), *range(0xD800, 0xE000)], 0xFFFD)
)


def harmless(text: str) -> str:
    r"""The text with pictures in place of control characters: ␛ for ESC.

    What a model writes must not move the cursor, set the clipboard or rename the window.
    """
    return text.translate(_CONTROLS)


class Display(Protocol):
    """A place where one answer is shown."""

    def begin(self) -> None:
        """Show that an answer is waited for."""
        ...

    def add(self, part: str) -> None:
        """Show a piece of text that came."""
        ...

    def end(self) -> None:
        """Show what is left, and end the row; of an answer that never came, nothing."""
        ...


class PlainDisplay:
    """Shows text as it comes, nothing else.

    Args:
        out: where to.
        is_terminal: control characters are shown as pictures; a program gets the text as it is.
    """

    def __init__(self, out: TextIO | None = None, *, is_terminal: bool = False) -> None:
        self._out = out or sys.stdout
        self._is_terminal = is_terminal
        self._last = ""

    def begin(self) -> None: ...

    def add(self, part: str) -> None:
        shown = harmless(part) if self._is_terminal else part
        self._out.write(shown)
        self._out.flush()
        self._last = shown or self._last

    def end(self) -> None:
        if self._last and not self._last.endswith("\n"):
            self._out.write("\n")
            self._out.flush()


class NoDisplay:
    """Shows nothing: the answer is printed in another form, when it is whole."""

    def begin(self) -> None: ...

    def add(self, part: str) -> None: ...

    def end(self) -> None: ...


class MarkdownDisplay:
    """Draws an answer as Markdown: finished blocks once, the open one as often as it changes."""

    def __init__(self, console: Console, clock: Callable[[], float] = timeline.now) -> None:
        self._console, self._clock = console, clock
        self._painter = RowPainter(console.file, lambda: console.height)  # type: ignore[arg-type]
        self._open = ""
        self._next_at = float("-inf")
        self._num_open = 0

    def begin(self) -> None:
        self._painter.paint([WAITING])

    def add(self, part: str) -> None:
        self._open += harmless(part)
        began = self._clock()
        if began >= self._next_at:
            self._draw()
            self._next_at = began + max(FRAME_S, SHARE * (self._clock() - began))

    def end(self) -> None:
        self._draw()
        self._painter.release(self._num_open)
        self._open = ""

    def _draw(self) -> None:
        *finished, self._open = blocks(self._open) or [""]
        settled = [row for block in finished for row in (*rows(block, self._console), "")]
        shown = rows(self._open, self._console)
        self._painter.paint([*settled, *shown])
        self._painter.release(len(settled))
        self._num_open = len(shown)
