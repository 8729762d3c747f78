"""Edges of an answer's text: the texts around it, folded, as far as a rule could look from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from serve.governance.around import Around
from serve.governance.filtering.folding import Folder
from serve.governance.filtering.spaces import shortened, view

_ESCAPE_CHARS: Final = 6


@dataclass(frozen=True, slots=True)
class Edges:
    r"""Folded texts around one.

    Attributes:
        before: what stands before it.
        opened: the beginning of an escape in which that breaks off: ``\u00``.
        after: what stands behind it.
        is_whole: nothing comes behind ``after``.
    """

    before: str = ""
    opened: str = ""
    after: str = ""
    is_whole: bool = True


NO_EDGES = Edges()


def edges_of(around: Around, num_chars: int, *, has_escapes: bool = False) -> Edges:
    """The edges of a text.

    Args:
        num_chars: folded characters that are needed on either side. Unseen characters are none, and
            a run of white space is one: so more of the texts may be read, all of them at the most.
        has_escapes: they are read as JSON text.
    """
    if around.before or around.after:
        before, opened = _tail(around.before, num_chars, has_escapes=has_escapes)
        after, is_whole = _head(around.after, num_chars, has_escapes=has_escapes)
        return Edges(before, opened, after, is_whole)
    return NO_EDGES


def _tail(text: str, num_chars: int, *, has_escapes: bool) -> tuple[str, str]:
    size = 2 * num_chars
    while True:
        at = max(0, len(text) - size)
        if not (has_escapes and "\\" in text[max(0, at - _ESCAPE_CHARS) : at]):
            folder = Folder(has_escapes=has_escapes)
            folded, _ = folder.feed(text[at:])
            seen = view(folded)
            if len(seen.text) >= num_chars or at == 0:
                tail = folded[seen.place(max(0, len(seen.text) - num_chars)) :]
                return shortened(tail, num_chars), text[at + folder.num_folded :]
        size += size


def _head(text: str, num_chars: int, *, has_escapes: bool) -> tuple[str, bool]:
    size = 2 * num_chars
    while True:
        is_whole = size >= len(text)
        folded, _ = Folder(has_escapes=has_escapes).feed(text[:size], is_last=is_whole)
        seen = view(folded)
        if len(seen.text) > num_chars or is_whole:
            head = folded[: seen.place(num_chars)] if len(seen.text) > num_chars else folded
            return shortened(head, num_chars), head == folded and is_whole
        size += size
