"""Edges of an answer: data that begins in the text before it, or ends in the text behind it.

What the client sent cannot be unsent. So of data across an edge the answer's part is replaced, and
beside that the answer is masked as a text of its own.

::

    before ── what could still become data ──┐
                                   answer ───┴── data across the edge? ── masked as ever
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

from serve.governance.around import Around
from serve.governance.masking.detector import LEFT
from serve.governance.masking.normalised import (
    Normalised,
    normalise,
    num_finished,
    num_quotes,
    said,
    table,
    within_string,
)
from serve.governance.masking.scan import Hit, Scanner
from serve.governance.masking.stream import SLICE_CHARS, BlockedError, MaskedStream, Replace

REACH: Final = 10_000
"""Characters that a detector may look at from a place on, and a match may have, at most."""


@dataclass(frozen=True, slots=True)
class Edges:
    """Texts around one, as far as data may come of it.

    Attributes:
        held: the end of the text before, from where on it could still become data.
        left: what stands before that, as detectors read it: LEFT characters at most.
        after: the beginning of the text behind.
    """

    held: str = ""
    left: str = ""
    after: str = ""


NO_EDGES = Edges()


def edges_of(around: Around, scanner: Scanner, *, is_json: bool = False) -> Edges:
    """The edges of an answer. Invisible characters do not count as far as they are read."""
    stream = MaskedStream(scanner, lambda _hit, _key, _value: None, is_json=is_json)
    stream.feed(_end(around.before, is_tail=True))
    held, left = stream.rest()
    return Edges(held, left, _end(around.after, is_tail=False))


def _end(text: str, *, is_tail: bool) -> str:
    """One end of a text, in which a detector can see as far as it ever does.

    Where invisible characters make that long, most of them are left out: they are in nobody's way.
    """
    if len(text) <= REACH + LEFT:
        return text
    pieces: list[str] = []
    num_seen = 0
    for at in range(0, len(text), SLICE_CHARS):
        piece = text[at : at + SLICE_CHARS]
        if is_tail:
            piece = text[max(0, len(text) - at - SLICE_CHARS) : len(text) - at]
        num_read = len(normalise(piece[: num_finished(piece)]).text)
        pieces.append(piece if num_read > len(piece) // 16 else piece.translate(_unseen()))
        num_seen += num_read
        if num_seen >= REACH + LEFT:
            break
    return "".join(reversed(pieces) if is_tail else pieces)


@cache
def _unseen() -> dict[int, None]:
    return {code: None for code, reading in table().items() if reading is None}


class ContinuedStream:
    """One text that comes in pieces, masked with what stands around it (a TextStream).

    Args:
        scanner, replace, is_json: see MaskedStream.
        edges: of the text.

    Attributes:
        blocked: the rule whose data ended the text; nothing comes after it.
    """

    def __init__(
        self, scanner: Scanner, replace: Replace, edges: Edges, *, is_json: bool = False
    ) -> None:
        self._scanner = scanner
        self._replace = replace
        self._is_json = is_json
        self._edges = edges
        self._is_open = bool(edges.held)  # whether data may lie across the first edge
        self._own = ""  # of the text, while it is
        self._wanted = 1
        left = (edges.left + normalise(edges.held, is_json=is_json).text)[-LEFT:]
        self._rest = MaskedStream(scanner, replace, is_json=is_json, left=left)
        self._blocked: str | None = None

    @property
    def blocked(self) -> str | None:
        return self._blocked or self._rest.blocked

    def feed(self, piece: str) -> str:
        """The masked text that is decided with this piece."""
        if self._blocked:
            return ""
        if not self._is_open:
            return self._rest.feed(piece)
        self._own += piece
        return self._opened(is_last=False) if len(self._own) >= self._wanted else ""

    def finish(self) -> str:
        """The rest: the text is over, and followed by what stands behind it."""
        passed = self._opened(is_last=True) if self._is_open and self._own else ""
        return passed if self._blocked else passed + self._rest.finish(self._edges.after)

    def _opened(self, *, is_last: bool) -> str:
        """The text that is decided while data may lie across the first edge."""
        edges = self._edges
        written = edges.held + self._own + (edges.after if is_last else "")
        reading = normalise(
            written if is_last else written[: num_finished(written)], is_json=self._is_json
        )
        text, begin, edge = edges.left + reading.text, len(edges.left), len(edges.held)
        hits, until = self._scanner.scan(text, begin, is_last=is_last)
        for hit in hits:
            is_before = reading.start(hit.found.start - begin) < edge
            if is_before and reading.end(hit.found.value_end - begin) > edge:
                return self._across(hit, reading, text)
        is_all = until == len(text)
        decided = num_finished(written) if is_all else reading.start(until - begin)
        if decided < edge and not is_last:
            self._wanted = len(self._own) + 1 + len(self._own) // 16
            return ""
        return self._closed(self._own)

    def _closed(self, own: str) -> str:
        self._is_open, self._own = False, ""
        return self._rest.feed(own)

    def _across(self, hit: Hit, reading: Normalised, text: str) -> str:
        """The text that is decided where a hit lies across the first edge."""
        edge, begin, found = len(self._edges.held), len(self._edges.left), hit.found
        start = max(0, reading.start(found.value_start - begin) - edge)
        stop = min(len(self._own), reading.end(found.value_end - begin) - edge)
        if self._is_json:
            start, stop = within_string(self._own, start, stop)
        before, part, rest = self._own[:start], self._own[start:stop], self._own[stop:]
        if not part:  # all of the data stands behind the text
            return self._closed(self._own)
        key = normalise(part, is_json=self._is_json).text
        try:
            instead = self._replace(hit, key, said(part) if self._is_json else part)
        except BlockedError as error:
            self._blocked = error.rule
            self._own = ""
            return before
        if instead is None:
            return self._closed(self._own)
        if self._is_json and num_quotes(before) % 2 == 0:
            instead = f'"{instead}"'
        self._rest.skip(before + part, text[max(0, found.value_end - LEFT) : found.value_end])
        return before + instead + self._closed(rest)
