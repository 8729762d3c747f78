"""Edges of an answer's text: the texts around it, folded, as far as a rule could look from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from serve.governance.around import Around
from serve.governance.filtering.folding import Folder

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
        num_chars: folded characters that are needed on either side. Unseen characters are none, so
            more of the texts may have to be read than so many: all of them at the most.
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
            if len(folded) >= num_chars or at == 0:
                return folded[-num_chars:], text[at + folder.num_folded :]
        size += size


def _head(text: str, num_chars: int, *, has_escapes: bool) -> tuple[str, bool]:
    size = 2 * num_chars
    while True:
        is_whole = size >= len(text)
        folded, _ = Folder(has_escapes=has_escapes).feed(text[:size], is_last=is_whole)
        if len(folded) >= num_chars or is_whole:
            return folded[:num_chars], is_whole and len(folded) <= num_chars
        size += size
