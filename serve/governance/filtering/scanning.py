"""Scanning: a text that comes in pieces, released as far as no rule can hit it any more.

The text before the first hit comes out whole and nothing behind that place does, whatever the
pieces were: what is held back is what a rule could still come to hit, by its longest match.
"""

from __future__ import annotations

from serve.governance.filtering.edges import NO_EDGES, Edges
from serve.governance.filtering.folding import Folder
from serve.governance.filtering.matching import Hit, Matcher
from serve.governance.filtering.rules import Rule
from serve.governance.filtering.spaces import long_runs


class Scanner:
    """Scans one text.

    Args:
        has_escapes: it is JSON text: escapes are read as what they stand for.
        edges: of texts that are read as one with it. A hit that lies across an edge ends the text
            where the hit begins in it; a hit has to have a character of the text.

    Attributes:
        counted: rules that count and that hit the released text.
        blocked_by: the rule whose hit ended the text; None while there was none.
    """

    def __init__(
        self, matcher: Matcher, *, has_escapes: bool = False, edges: Edges = NO_EDGES
    ) -> None:
        self._matcher = matcher
        self._edges = edges
        self._folder = Folder(has_escapes=has_escapes, opened=edges.opened)
        self._held = ""
        self._begin = 0  # the place of what is held, in characters of the text
        self._window = edges.before  # folded: what was released last, and what is held
        self._num_released = len(self._window)
        self._edge = len(self._window)  # where the text begins in the window
        self._places: list[int] = []  # of the folded characters that are held
        self.counted: dict[Rule, None] = {}
        self.blocked_by: Rule | None = None

    def feed(self, text: str) -> str:
        """Take more of the text. Returns what is released."""
        return self._taken(text, is_last=False)

    def pause(self) -> str:
        """Release the rest, as if the text ended here.

        What follows is matched with it all the same. A hit that begins in what was released and
        ends in what follows ends the text there.
        """
        return self._taken("", is_last=True)

    def finish(self) -> str:
        """Release the rest: the text is over, and followed by what stands behind it."""
        return self._taken("", is_last=True, is_end=True)

    def _taken(self, text: str, *, is_last: bool, is_end: bool = False) -> str:
        if self.blocked_by is not None:
            return ""
        self._held += text
        folded, places = self._folder.feed(text, is_last=is_last)
        self._window += folded
        self._places += places
        matcher, window, begin = self._matcher, self._window, self._num_released
        edge = self._edge
        hit = matcher.blocked(window, begin, is_last=is_last, edge=edge)
        if is_end and self._edges.after and len(window) > edge:
            hit = min(filter(None, (hit, self._across())), default=None)
        end = len(window) if is_last else max(begin, matcher.open_from(window))
        if hit is not None and hit.start <= end:
            end = max(begin, hit.start)
            self.blocked_by = matcher.rules[hit.number]
        for number in sorted(matcher.counted(window, begin, end, is_last=is_last, edge=edge)):
            self.counted[matcher.rules[number]] = None
        return self._released(end)

    def _across(self) -> Hit | None:
        """The hit that begins before the text's end and ends behind it; notes those that count."""
        matcher, end, edge, edges = self._matcher, len(self._window), self._edge, self._edges
        window, is_last = self._window + edges.after, edges.is_whole
        for number in sorted(matcher.counted_across(window, end, is_last=is_last, edge=edge)):
            self.counted[matcher.rules[number]] = None
        hit = matcher.blocked(window, end, is_last=is_last, edge=edge)
        return hit if hit is not None and hit.start < end else None

    def _released(self, end: int) -> str:
        """The text up to a place of the window."""
        num_more = end - self._num_released
        place = self._places[num_more] if num_more < len(self._places) else self._folder.num_folded
        place = max(place, self._begin)  # an escape may have begun before the text
        released = self._held[: place - self._begin]
        self._held, self._begin = self._held[place - self._begin :], place
        del self._places[:num_more]
        kept = self._matcher.kept_from(self._window[:end])
        self._window, self._num_released = self._window[kept:], end - kept
        self._edge = max(-1, self._edge - kept)
        self._shorten()
        return released

    def _shorten(self) -> None:
        """Leave the middle of long runs of white space out of the window.

        What follows is matched with their ends alone. Each piece would cost their length else.
        """
        for start, end in long_runs(self._window, self._matcher.longest + 1):
            first = max(start, self._num_released + 1)  # the first one that is held says its place
            self._leave_out(first, end)
            self._leave_out(start, min(end, self._num_released))

    def _leave_out(self, start: int, end: int) -> None:
        """Leave a part of the window out that is held as a whole, or not at all."""
        if start >= end:
            return
        self._window = self._window[:start] + self._window[end:]
        begin = self._num_released
        del self._places[max(0, start - begin) : max(0, end - begin)]
        self._num_released -= _overlap(start, end, begin)
        self._edge -= _overlap(start, end, self._edge)


def _overlap(start: int, end: int, place: int) -> int:
    """Characters between start and end that stand before a place."""
    return max(0, min(end, place) - start)


def hits_of(
    matcher: Matcher, text: str, *, has_escapes: bool = False
) -> tuple[Rule | None, list[Rule]]:
    """The rule that blocks a whole text, if one does, and those that count it, in their order.

    Args:
        has_escapes: it is JSON text.
    """
    scanner = Scanner(matcher, has_escapes=has_escapes)
    scanner.feed(text)
    scanner.pause()
    return scanner.blocked_by, list(scanner.counted)
