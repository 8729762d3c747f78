"""Restoring: pseudonyms in an answer as what they stand for, for the caller whose data they are."""

from __future__ import annotations

import re

from serve.governance.masking.normalised import written
from serve.governance.masking.pseudonyms import MAX_LABEL_CHARS, Pseudonyms

_NAME = rf"[A-Z][A-Z0-9_]{{0,{MAX_LABEL_CHARS - 1}}}_[0-9]{{1,6}}"
_PLAIN = re.compile(rf"<{_NAME}>")
_PLAIN_TAIL = re.compile(rf"<[A-Z0-9_]{{0,{MAX_LABEL_CHARS + 7}}}\Z")
_OPEN, _CLOSE = r"(?:<|\\u003[cC])", r"(?:>|\\u003[eE])"
_JSON = re.compile(rf"{_OPEN}({_NAME}){_CLOSE}")
_JSON_TAIL = re.compile(
    rf"(?:{_OPEN}[A-Z0-9_]{{0,{MAX_LABEL_CHARS + 7}}}(?:\\(?:u(?:0(?:0(?:3)?)?)?)?)?"
    r"|\\(?:u(?:0(?:0(?:3)?)?)?)?)\Z"
)


class RestoredStream:
    """One text that comes in pieces, with its pseudonyms restored (a TextStream).

    Args:
        pseudonyms: those that are known when the text comes.
        is_json: the text is JSON, and stays it.
    """

    blocked = None

    def __init__(self, pseudonyms: Pseudonyms, *, is_json: bool = False) -> None:
        self._values = pseudonyms
        self._is_json = is_json
        self._pattern, self._tail = (_JSON, _JSON_TAIL) if is_json else (_PLAIN, _PLAIN_TAIL)
        self._held = ""

    def feed(self, piece: str) -> str:
        """The restored text, but for what may still become a pseudonym."""
        text = self._held + piece
        tail = self._tail.search(text, max(0, len(text) - MAX_LABEL_CHARS - 24))
        end = len(text) if tail is None else tail.start()
        self._held = text[end:]
        return self._pattern.sub(self._value, text[:end])

    def finish(self) -> str:
        """The text that was held back: it has become none."""
        text, self._held = self._held, ""
        return text

    def _value(self, match: re.Match[str]) -> str:
        if not self._is_json:
            return self._values.values.get(match[0], match[0])
        value = self._values.values.get(f"<{match[1]}>")
        return match[0] if value is None else written(value)
