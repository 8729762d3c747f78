"""The scan: all matches of several detectors in a text, none over another.

Of two that overlap the one that begins first counts; of two that begin at one place that of the
detector named first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from serve.governance.masking.detector import Detector, Found


@dataclass(frozen=True, slots=True)
class Hit:
    """A match that counts."""

    detector: Detector
    found: Found


def scan(
    text: str, begin: int, detectors: Sequence[Detector], *, is_last: bool
) -> tuple[list[Hit], int]:
    """The matches from ``begin`` on that no more text can change.

    Args:
        text: with at least LEFT characters before ``begin``, or all that there are.
        is_last: no more text comes.

    Returns:
        The matches in order, and the place up to which all is decided.
    """
    limit = len(text)
    if not is_last:
        for detector in detectors:
            limit = min(limit, detector.pending(text, begin))
    candidates = [
        (found.start, rank, found)
        for rank, detector in enumerate(detectors)
        for found in detector.found(text, begin, limit)
    ]
    candidates.sort(key=lambda candidate: candidate[:2])
    hits: list[Hit] = []
    at = begin
    for start, rank, found in candidates:
        if start >= at:
            hits.append(Hit(detectors[rank], found))
            at = found.end
    return hits, max(limit, at)
