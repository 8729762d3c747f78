"""The scan: all matches of several detectors in a text, none over another.

Of two that overlap the one that begins first counts; of two that begin at one place that of the
detector named first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from serve.governance.masking.detector import Detector, Found, PatternDetector

_DIGIT = re.compile("[0-9]")
_REACHES = (64, 256, 600, 10_000)
"""Bounds by which tails are put together: one search for all detectors that look about as far."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A match that counts."""

    detector: Detector
    found: Found


class Scanner:
    """Scans texts for the data of several detectors.

    Args:
        detectors: in the order in which they come first.
    """

    def __init__(self, detectors: Iterable[Detector]) -> None:
        self._detectors = tuple(detectors)
        self._tails: list[tuple[int, re.Pattern[str]]] = []
        self._others = [each for each in self._detectors if not isinstance(each, PatternDetector)]
        least = 0
        for most in _REACHES:
            near = [
                each
                for each in self._detectors
                if isinstance(each, PatternDetector) and least < each.reach <= most
            ]
            if near:
                tail = "|".join(sorted({f"(?:{each.tail.pattern})" for each in near}))
                self._tails.append((max(each.reach for each in near), re.compile(tail)))
            least = most

    def scan(
        self, text: str, begin: int, *, is_last: bool, edge: int = 0
    ) -> tuple[Sequence[Hit], int]:
        """The matches from ``begin`` on that no more text can change.

        Args:
            text: with at least LEFT characters before ``begin``, or all that there are.
            is_last: no more text comes.
            edge: a place up to ``begin`` behind which all is looked at also as if the text began
                there.

        Returns:
            The matches in order, and the place up to which all is decided.
        """
        limit = len(text) if is_last else self._pending(text, begin)
        if edge and not is_last:
            limit = min(limit, edge + self._pending(text[edge:], begin - edge))
        if limit == begin:
            return (), limit
        has_digit = _DIGIT.search(text, begin) is not None
        candidates = [
            (found.start, rank, found)
            for rank, detector in enumerate(self._detectors)
            if has_digit or not detector.has_digit
            for found in detector.found(text, begin, limit)
        ]
        if edge:
            candidates += [
                (each.start + edge, rank, each.moved(edge))
                for rank, detector in enumerate(self._detectors)
                for each in detector.found(text[edge:], begin - edge, limit - edge)
            ]
        if not candidates:
            return (), limit
        candidates.sort(key=lambda candidate: candidate[:2])
        hits: list[Hit] = []
        at = begin
        for start, rank, found in candidates:
            if start >= at:
                hits.append(Hit(self._detectors[rank], found))
                at = found.end
        return hits, max(limit, at)

    def _pending(self, text: str, begin: int) -> int:
        """The first place at which more text could make or change a match."""
        size = limit = len(text)
        for reach, tail in self._tails:
            match = tail.search(text, max(begin, size - reach))
            if match is not None and match.start() < limit:
                limit = match.start()
        for detector in self._others:
            limit = min(limit, detector.pending(text, begin))
        return limit
