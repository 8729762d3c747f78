"""Detectors of an operator's own: an RE2 pattern and the length beyond which nothing matches.

RE2 takes time in proportion to the text, whatever the pattern. A match at a place is what the
pattern matches there within the length, so a stream knows how far it has to look.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import re2

from serve.governance.masking.detector import Found, Spelling

MAX_PATTERN_CHARS = 1000
MAX_MATCH_CHARS = 1024
_MAX_PROGRAM = 20_000


class BadPatternError(ValueError):
    """A pattern that RE2 cannot take, with its reason."""


def compiled(pattern: str) -> re2._Regexp:
    """A pattern, compiled.

    Raises:
        BadPatternError: RE2 does not take it, it is too large, or it matches the empty text.
    """
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 8 << 20
    try:
        regexp = re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "it is not understood"
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise BadPatternError(f"RE2 does not take it: {reason}") from None
    if regexp.programsize > _MAX_PROGRAM:
        raise BadPatternError(
            f"it compiles to {regexp.programsize} steps: at most {_MAX_PROGRAM}; repeat less"
        )
    if regexp.search("") is not None:
        raise BadPatternError("it matches the empty text: it would match everywhere")
    return regexp


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomDetector:
    """A detector by an RE2 pattern (a Detector).

    Args:
        regexp: matches never the empty text alone.
        max_chars: of a match; a longer one is cut to what matches within the length.
    """

    name: str
    label: str
    regexp: re2._Regexp
    max_chars: int
    spelling: Spelling = "exact"
    has_digit: bool = False

    def found(self, text: str, begin: int, end: int) -> Iterator[Found]:
        """See Detector. A beginning is looked for in two lengths, its match in one."""
        at = begin
        while at < end:
            left = min(at, 1)  # a character for what asks for the edge of a word
            window = text[at - left : at + 2 * self.max_chars + 1]
            stop = min(len(window), left + 2 * self.max_chars)
            begun = self.regexp.search(window, left, stop)
            if begun is None or begun.start() - left > self.max_chars:
                at += self.max_chars
                continue
            start = begun.start()
            at += start - left
            if at >= end:
                return
            match = self.regexp.match(window, start, min(len(window), start + self.max_chars))
            if match is not None and match.end() > start:
                yield Found(at, at + match.end() - start, at, at + match.end() - start)
            at += 1

    def pending(self, text: str, begin: int) -> int:
        """See Detector: a match here could be as long as any, and the character behind it counts.

        So does the end of the text, for which some patterns ask.
        """
        return max(begin, len(text) - self.max_chars)
