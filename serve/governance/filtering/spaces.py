"""White space as words see it: any run of it is one space, whatever it is of."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final, NamedTuple

_RUN: Final = re.compile(r"\s{2,}")
_NOT_SINGLE: Final = re.compile(r"\s{2,}|[^\S ]")
_LONG: Final = 8
"""A text of so many times the longest match is looked through for long runs."""


def squeezed(text: str) -> str:
    """A folded text with one space for each run of white space."""
    return _NOT_SINGLE.sub(" ", text)


class View(NamedTuple):
    """A folded text as words see it.

    Attributes:
        text: squeezed.
        starts: the places of its characters in the folded text, those of runs by their first one;
            None where the two are the same.
        size: of the folded text.
    """

    text: str
    starts: Sequence[int] | None
    size: int

    def place(self, at: int) -> int:
        """The place of a character in the folded text; that text's end for what is behind it."""
        if self.starts is None:
            return at
        return self.starts[at] if at < len(self.starts) else self.size

    def end(self, at: int) -> int:
        """The place behind the character before ``at``; of a run that is behind its first one."""
        return at if self.starts is None else self.starts[at - 1] + 1

    def at(self, place: int) -> int:
        """The first character that does not begin before a place of the folded text."""
        return place if self.starts is None else bisect_left(self.starts, place)


def view(text: str) -> View:
    """A folded text as words see it."""
    seen = squeezed(text)
    if len(seen) == len(text):  # most often
        return View(seen, None, len(text))
    starts: list[int] = []
    at = 0
    for run in _RUN.finditer(text):
        starts += range(at, run.start() + 1)
        at = run.end()
    starts += range(at, len(text))
    return View(seen, starts, len(text))


def plain(text: str) -> View:
    """A folded text as words without spaces see it."""
    return View(text, None, len(text))


def long_runs(text: str, num_chars: int) -> list[tuple[int, int]]:
    """The middles of a folded text's long runs of white space, the last one first.

    Of each run so many characters stay at either end: see ``shortened``.
    """
    if len(text) <= _LONG * num_chars:  # most often
        return []
    runs = re.finditer(rf"\s{{{2 * num_chars + 1},}}", text)
    return [(run.start() + num_chars, run.end() - num_chars) for run in runs][::-1]


def shortened(text: str, num_chars: int) -> str:
    """A folded text in which runs of white space have at most twice so many characters.

    For what matches at most so many, each place in it reads as in the text itself.
    """
    if len(text) <= 2 * num_chars:
        return text
    return re.sub(
        rf"\s{{{2 * num_chars + 1},}}", lambda run: run[0][:num_chars] + run[0][-num_chars:], text
    )
