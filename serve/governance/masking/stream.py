"""The masked text of a stream: for every split of a text, what the whole text comes to.

::

    piece ── read (digits, letters, escapes) ── scan ── what is decided ── with its hits replaced

Only what more text could still change is held back: from the first place at which a match could
begin that is not known to be one yet (scan.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from serve.governance.masking.detector import LEFT, Found
from serve.governance.masking.normalised import (
    Normalised,
    normalise,
    num_finished,
    num_quotes,
    said,
)
from serve.governance.masking.scan import Hit, Scanner

SLICE_CHARS = 16_384
"""Most characters that are looked at in one go: about 10 ms."""
_EAGER_CHARS = 128
"""Held characters up to which each new piece is looked at at once."""


class BlockedError(Exception):
    """Data came that may not pass.

    Args:
        rule: the name of the rule.
    """

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


Replace = Callable[[Hit, str, str], str | None]
"""Tells the text in the place of a hit's value, without quotes; None leaves it as it is.

It is given the hit, the value as detectors read it, and the value as it was written, and raises
BlockedError where that may not pass.
"""


class MaskedStream:
    """One text that comes in pieces.

    Args:
        scanner: finds what is to be replaced.
        replace: asked for each hit, in order.
        is_json: the text is JSON: data is found through its escapes, and what stands in its place
            keeps it JSON.
        left: a text before it, as detectors read it: LEFT characters are enough. Data that is found
            behind it, and data that is found without it, are replaced alike.

    Attributes:
        blocked: the rule whose data ended the text; nothing comes after it.
    """

    def __init__(
        self,
        scanner: Scanner,
        replace: Replace,
        *,
        is_json: bool = False,
        left: str = "",
    ) -> None:
        self._scanner = scanner
        self._replace = replace
        self._is_json = is_json
        self._held = ""
        self._before = left  # as it is read, LEFT characters at most
        self._edge = len(left)  # of that, what is not of this text
        self._wanted = 1
        self._in_string = False
        self.blocked: str | None = None

    def feed(self, piece: str) -> str:
        """The masked text that is decided with this piece."""
        passed = []
        for at in range(0, len(piece), SLICE_CHARS):
            self._held += piece[at : at + SLICE_CHARS]
            if len(self._held) >= self._wanted:
                passed.append(self._decided(is_last=False))
        return "".join(passed)

    def finish(self, after: str = "") -> str:
        """The rest. A piece that comes later begins anew, behind what has passed.

        Args:
            after: a text that follows, and is not this one's: of data that goes on in it what is
                here is replaced.
        """
        return self._decided(is_last=True, after=after) if self._held else ""

    def rest(self) -> tuple[str, str]:
        """The text that is held back, and that before it, as detectors read it."""
        return self._held, self._before

    def skip(self, text: str, left: str, edge: int) -> None:
        """Take the beginning of the text as decided by somebody else.

        Args:
            left: what stands before all that comes, as detectors read it.
            edge: characters of that before this text.
        """
        self._held, self._before, self._edge = text, left, edge
        self._note_strings(0, len(text))
        self._held = ""

    def _decided(self, *, is_last: bool, after: str = "") -> str:
        if self.blocked is not None:
            self._held = ""
            return ""
        size = len(self._held) if is_last else num_finished(self._held)
        reading = normalise(self._held[:size], is_json=self._is_json)
        text = self._before + reading.text
        begin = len(self._before)
        hits, until = self._scanner.scan(text, begin, is_last=is_last, edge=self._edge)
        if after:
            hits = self._across(hits, len(text), after)
        # What is left out, such as an invisible character, belongs to what stands before it.
        end = size if until == len(text) else reading.start(until - begin)
        passed = self._replaced(reading, begin, hits, end)
        num_left = max(0, until - LEFT)
        self._before, self._edge = text[num_left:until], max(0, self._edge - num_left)
        self._held = self._held[end:]
        held = len(self._held)
        # Looking again at a long text for each character would cost the square of it.
        self._wanted = 1 if held <= _EAGER_CHARS else held + held // 16
        return passed

    def _across(self, hits: Sequence[Hit], end: int, after: str) -> Sequence[Hit]:
        """The hits in the text, with the one that goes on in the text behind it.

        Those behind that one are under it, for the case that it stays as it is.

        Args:
            end: of the text as it is read.
        """
        begin, size = len(self._before), len(self._held)
        reading = normalise(self._held + after, is_json=self._is_json)
        text = self._before + reading.text
        joined, _ = self._scanner.scan(text, begin, is_last=True, edge=self._edge)
        for hit in joined:
            found = hit.found
            if found.value_start < end and reading.end(found.end - begin) > size:
                before = [each for each in hits if each.found.start < found.start]
                start = max([found.value_start, *(each.found.value_end for each in before)])
                stop = min(end, found.value_end)
                while self._is_json and stop > start and self._is_quote(reading, stop - 1 - begin):
                    stop -= 1  # it ends a string, and stays
                if start >= stop:
                    return hits
                across = Hit(hit.detector, Found(start, end, start, stop))
                return [*before, across, *(each for each in hits if each not in before)]
        return hits

    def _is_quote(self, reading: Normalised, at: int) -> bool:
        """Whether a character of JSON text begins or ends a string."""
        return self._held[reading.start(at) : reading.end(at + 1)] == '"'

    def _replaced(self, reading: Normalised, begin: int, hits: Sequence[Hit], end: int) -> str:
        """The decided text, with what stands in the place of the hits."""
        passed: list[str] = []
        at = 0
        for hit in hits:
            found = hit.found
            start = reading.start(found.value_start - begin)
            stop = reading.end(found.value_end - begin)
            if start < at:
                continue  # under the one before
            self._note_strings(at, start)
            written = self._held[start:stop]
            key = reading.text[found.value_start - begin : found.value_end - begin]
            try:
                text = self._replace(hit, key, said(written) if self._is_json else written)
            except BlockedError as error:
                self.blocked = error.rule
                return "".join([*passed, self._held[at:start]])
            passed.append(self._held[at:start])
            at = start
            if text is None:
                continue
            is_bare = self._is_json and not self._in_string
            passed.append(f'"{text}"' if is_bare else text)
            self._note_strings(start, stop)
            at = stop
        self._note_strings(at, end)
        passed.append(self._held[at:end])
        return "".join(passed)

    def _note_strings(self, start: int, end: int) -> None:
        """Keep track of whether JSON text is within a string, where it is known to be JSON."""
        if self._is_json and num_quotes(self._held[start:end]) % 2:
            self._in_string = not self._in_string


def masked(text: str, scanner: Scanner, replace: Replace) -> str:
    """A whole text, masked; up to the data that blocks it.

    Raises:
        BlockedError: data is in it that may not pass.
    """
    stream = MaskedStream(scanner, replace)
    passed = stream.feed(text) + stream.finish()
    if stream.blocked is not None:
        raise BlockedError(stream.blocked)
    return passed
