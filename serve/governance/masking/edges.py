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
                return self._across(hit, reading, begin, is_last=is_last)
        is_all = until == len(text)
        decided = num_finished(written) if is_all else reading.start(until - begin)
        if decided < edge and not is_last:
            return self._awaited()
        return self._closed(self._own)

    def _awaited(self) -> str:
        self._wanted = len(self._own) + 1 + len(self._own) // 16
        return ""

    def _closed(self, own: str) -> str:
        self._is_open, self._own = False, ""
        return self._rest.feed(own)

    def _across(self, hit: Hit, reading: Normalised, begin: int, *, is_last: bool) -> str:
        """The text that is decided where a hit lies across the first edge."""
        own, edge, found = self._own, len(self._edges.held), hit.found
        start = max(0, reading.start(found.value_start - begin) - edge)
        stop = min(len(own), reading.end(found.value_end - begin) - edge)
        if self._is_json:
            start, stop = within_string(own, start, stop)
        if start == stop:  # all of the data stands behind the text
            return self._closed(own)
        if not is_last and self._num_decided() < stop:
            return self._awaited()
        passed = own[:start]
        try:
            instead = self._instead(hit, start, stop)
            if instead is None:
                return self._closed(own)
            over = self._over(stop, is_last=is_last)
            if over is not None and (more := self._instead(*over)) is not None:
                _, start_more, stop_more = over
                if start_more == stop:
                    instead += more
                else:
                    passed += self._quoted(instead, start) + own[stop:start_more]
                    start, instead = start_more, more
                stop = stop_more
        except BlockedError as error:
            self._blocked, self._own = error.rule, ""
            return passed
        self._skip(stop)
        return passed + self._quoted(instead, start) + self._closed(own[stop:])

    def _instead(self, hit: Hit, start: int, stop: int) -> str | None:
        """The text in the place of a part of this one."""
        part = self._own[start:stop]
        key = normalise(part, is_json=self._is_json).text
        return self._replace(hit, key, said(part) if self._is_json else part)

    def _quoted(self, instead: str, start: int) -> str:
        is_bare = self._is_json and num_quotes(self._own[:start]) % 2 == 0
        return f'"{instead}"' if is_bare else instead

    def _skip(self, stop: int) -> None:
        """Go on behind a place of the text."""
        read = normalise(self._own[:stop], is_json=self._is_json).text
        held = normalise(self._edges.held, is_json=self._is_json).text
        left = (self._edges.left + held + read)[-LEFT:]
        self._rest.skip(self._own[:stop], left, max(0, len(left) - len(read)))

    def _num_decided(self) -> int:
        """Characters in which data of the text alone is known."""
        size = num_finished(self._own)
        reading = normalise(self._own[:size], is_json=self._is_json)
        _, until = self._scanner.scan(reading.text, 0, is_last=False)
        return size if until == len(reading.text) else reading.start(until)

    def _alone(self, *, is_last: bool) -> tuple[str, ...]:
        """The text as far as it is known, and with what stands behind it."""
        if not is_last:
            return (self._own[: num_finished(self._own)],)
        return (self._own, self._own + self._edges.after) if self._edges.after else (self._own,)

    def _over(self, stop: int, *, is_last: bool) -> tuple[Hit, int, int] | None:
        """The data of the text alone that begins before a place and ends behind it.

        Returns:
            With the part of it behind that place.
        """
        own = self._own
        over: tuple[Hit, int, int] | None = None
        for written in self._alone(is_last=is_last):
            reading = normalise(written, is_json=self._is_json)
            hits, _ = self._scanner.scan(reading.text, 0, is_last=is_last)
            for hit in hits:
                found = hit.found
                start = max(stop, reading.start(found.value_start))
                end = min(len(own), reading.end(found.value_end))
                if self._is_json:
                    start, end = within_string(own, start, end)
                is_over = reading.start(found.start) < stop and start < end
                if is_over and (over is None or end > over[2]):
                    over = hit, start, end
        return over
