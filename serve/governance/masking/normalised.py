"""Text as detectors read it: digits and letters in ASCII, nothing invisible, no escapes of JSON.

Each character and each escape is taken by itself, so pieces of a text come to the same as the
whole, and each character that is left knows its place in the text that was written.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

_SPACES = "\u00a0\u1680\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\u30fc\ufe58\ufe63"
_LINE_BREAKS = "\u0085\u2028\u2029"
_INVISIBLE = "\u034f\u115f\u1160\u17b4\u17b5\u20e3\u3164\uffa0"
"""Characters without a form of their own that are not of the category Cf."""
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[^u]",
    re.DOTALL,
)
_TOKEN = re.compile(_ESCAPE.pattern + '|"', re.DOTALL)
_UNFINISHED = re.compile(
    r"(\\+)(?:u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?|u[0-9a-fA-F]{0,3})?\Z"
)
_SAID = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


@cache
def table() -> dict[int, str | None]:
    """The reading of each character that is not read as itself; None where it is left out."""
    readings: dict[int, str | None] = {}
    for code in range(0x80, sys.maxunicode + 1):
        char = chr(code)
        category = unicodedata.category(char)
        if category == "Cf":
            readings[code] = None
        elif category == "Nd":
            readings[code] = str(unicodedata.decimal(char))
    for code in (*range(0xFF01, 0xFF5F), *range(0x1D400, 0x1D7CE)):
        folded = unicodedata.normalize("NFKC", chr(code))
        if len(folded) == 1 and folded.isascii():
            readings[code] = folded
    for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0), *map(ord, _INVISIBLE)):
        readings[code] = None
    readings |= dict.fromkeys(range(0xD800, 0xE000), "\ufffd")  # halves, of which UTF-8 has none
    readings |= dict.fromkeys(map(ord, _SPACES), " ")
    readings |= dict.fromkeys(map(ord, _DASHES), "-")
    readings |= dict.fromkeys(map(ord, _LINE_BREAKS), "\n")
    return readings


@dataclass(frozen=True, slots=True)
class Normalised:
    """A text as detectors read it.

    Attributes:
        text: the reading.
        starts: where each of its characters begins in the text that was written; None where the
            two have the same places.
        ends: where it ends there.
    """

    text: str
    starts: Sequence[int] | None = None
    ends: Sequence[int] | None = None

    def start(self, at: int) -> int:
        """The place at which a character begins in the text that was written."""
        return at if self.starts is None else self.starts[at]

    def end(self, at: int) -> int:
        """The place at which what stands before ``at`` ends; at least one character does."""
        return at if self.ends is None else self.ends[at - 1]


def normalise(text: str, *, is_json: bool = False) -> Normalised:
    """The reading of a text that breaks off in no escape.

    Args:
        is_json: a quote that begins or ends a string is read as a line break.
    """
    if is_json or "\\" in text:
        return _with_escapes(text, _TOKEN if is_json else _ESCAPE)
    if text.isascii():
        return Normalised(text)
    reading = text.translate(table())
    if len(reading) == len(text):
        return Normalised(reading)
    starts = _kept(text)
    return Normalised(reading, starts, array("l", [at + 1 for at in starts]))


def _with_escapes(text: str, tokens: re.Pattern[str]) -> Normalised:
    starts, ends, pieces = array("l"), array("l"), []
    at = 0
    for token in (*tokens.finditer(text), None):
        stop = len(text) if token is None else token.start()
        plain = text[at:stop]
        if plain:
            pieces.append(plain if plain.isascii() else plain.translate(table()))
            is_whole = len(pieces[-1]) == len(plain)
            places = range(len(plain)) if is_whole else _kept(plain)
            starts.extend([at + place for place in places])
            ends.extend([at + place + 1 for place in places])
        if token is None:
            break
        reading = _said(token[0]).translate(table())
        if reading:
            pieces.append(reading)
            starts.append(stop)
            ends.append(token.end())
        at = token.end()
    return Normalised("".join(pieces), starts, ends)


def _kept(text: str) -> array[int]:
    """The places of the characters that are not left out."""
    readings = table()
    return array("l", [at for at, c in enumerate(text) if readings.get(ord(c), c) is not None])


def _said(escape: str) -> str:
    """The character that an escape says; a line break for a quote."""
    if escape == '"':
        return "\n"
    if len(escape) == 12:  # the two halves of a character beyond U+FFFF
        return str(json.loads(f'"{escape}"'))
    kind, digits = escape[1], escape[2:]
    return chr(int(digits, base=16)) if kind == "u" else _SAID.get(kind, kind)


def num_finished(text: str) -> int:
    """Characters before an escape that a text breaks off in; all of them where it has none."""
    at = text.find("\\", max(0, len(text) - 11))
    if at < 0:
        return len(text)
    while at > 0 and text[at - 1] == "\\":
        at -= 1
    found = _UNFINISHED.search(text, at)
    if found is None or len(found[1]) % 2 == 0:
        return len(text)
    return found.end(1) - 1


def num_quotes(text: str) -> int:
    """Quotes in JSON text that begin or end strings."""
    return sum(token[0] == '"' for token in _TOKEN.finditer(text))


def within_string(text: str, start: int, stop: int) -> tuple[int, int]:
    """A part of JSON text without the quotes at its ends that begin or end strings."""
    while start < stop and text[start] == '"':
        start += 1
    while start < stop and text[stop - 1] == '"' and num_quotes(text[start:stop]):
        stop -= 1
    return start, stop


def said(text: str) -> str:
    """The text that a part of a JSON string says; the part itself where it says nothing."""
    if "\\" not in text:
        return text
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return text


def written(text: str) -> str:
    """A text as a part of a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]
