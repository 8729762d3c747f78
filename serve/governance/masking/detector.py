"""Detectors: what finds one kind of data in a text, by rules that see a bounded part of it.

A match at a place depends on at most LEFT characters before it and ``reach`` characters from it on.
This is what lets a stream be masked exactly as the whole: what lies further back cannot change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import re2

LEFT = 32
"""Characters before a match that a detector may look at."""


@dataclass(frozen=True, slots=True)
class Found:
    """A match in a text as it is read.

    Attributes:
        start: its first character, with the words that announce the data.
        end: behind its last one.
        value_start: the first character of the data.
        value_end: behind the last one of it.
    """

    start: int
    end: int
    value_start: int
    value_end: int

    def moved(self, num_chars: int) -> Found:
        """The match in a text that has so many characters more before it."""
        places = (self.start, self.end, self.value_start, self.value_end)
        return Found(*(place + num_chars for place in places))


_GATED_CHARS = 1024

Spelling = Literal["exact", "folded", "compact"]
"""Spellings of one value: itself alone, in any case, or with any breaks between its letters."""


class Detector(Protocol):
    """One kind of data."""

    @property
    def name(self) -> str: ...

    @property
    def label(self) -> str:
        """The word for it in a text: letters, digits and underscores."""
        ...

    @property
    def spelling(self) -> Spelling:
        """See Spelling."""
        ...

    @property
    def has_digit(self) -> bool:
        """Whether each match has one of the digits 0 to 9 in it."""
        ...

    def found(self, text: str, begin: int, end: int) -> Iterator[Found]:
        """All matches that begin at a place in [begin, end), in order; they may overlap."""
        ...

    def pending(self, text: str, begin: int) -> int:
        """The first place from ``begin`` on at which more text could make or change a match.

        The text's length where there is none.
        """
        ...


Check = Callable[[str, "re.Match[str]"], Found | None]


def whole(_text: str, match: re.Match[str]) -> Found:
    """The match as it is: the group ``value``, where it has one, is the data."""
    value = match.span("value") if "value" in match.re.groupindex else match.span()
    return Found(*match.span(), *value)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternDetector:
    """A detector by a regular expression and a check (a Detector).

    Args:
        pattern: what a match looks like, of at most ``reach`` characters with all lookaheads.
        tail: what a text ends in where it could go on to a match, from where that begins; it may
            take more for one, never less.
        check: the match, or a part of it; None where it is none after all.
        needs: strings of which a match has at least one.
        gate: an RE2 pattern that each match has a match of: a long text is searched for it first.
    """

    name: str
    label: str
    pattern: re.Pattern[str]
    tail: re.Pattern[str]
    reach: int
    check: Check = whole
    needs: tuple[str, ...] = ()
    gate: re2._Regexp | None = None
    spelling: Spelling = "compact"
    has_digit: bool = True

    def found(self, text: str, begin: int, end: int) -> Iterator[Found]:
        """See Detector."""
        if self.needs and not any(part in text for part in self.needs):
            return
        if self.gate is not None and len(text) >= _GATED_CHARS and not self.gate.search(text):
            return
        at = begin
        while (match := self.pattern.search(text, at)) is not None and match.start() < end:
            found = self.check(text, match)
            if found is not None:
                yield found
            at = match.start() + 1

    def pending(self, text: str, begin: int) -> int:
        """See Detector. A scanner searches for the tails of several at once."""
        match = self.tail.search(text, max(begin, len(text) - self.reach))
        return len(text) if match is None else match.start()
