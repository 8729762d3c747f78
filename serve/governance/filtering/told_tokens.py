"""Tokens beside a text that is held back: none is told before all of its text is.

Log-probabilities name tokens, so they say what the text says. A token may be longer than the text
with which it came, where a stage before this one holds the rest.
"""

from __future__ import annotations

from collections import deque

from serve.pipeline.events import TextDelta, TokenText


class ToldTokens:
    """The tokens of one choice that wait for their text."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, TokenText]] = deque()
        self._num_chars = 0  # of text that came
        self._num_told = 0  # of these, released

    def take(self, delta: TextDelta) -> None:
        """Note a text and the tokens that came with it."""
        self._num_chars += len(delta.text)
        for number, token in enumerate(delta.logprobs, start=1):
            is_last = number == len(delta.logprobs)
            beyond = _chars_beyond(token.raw, delta.text) if is_last else 0
            self._waiting.append((self._num_chars + beyond, token))

    def told(self, num_chars: int) -> tuple[TokenText, ...]:
        """The tokens that may be told when so many more characters are released."""
        self._num_told += num_chars
        told: list[TokenText] = []
        while self._waiting and self._waiting[0][0] <= self._num_told:
            told.append(self._waiting.popleft()[1])
        return tuple(told)

    def rest(self) -> tuple[TokenText, ...]:
        """All that wait, where the choice ends by itself."""
        told = tuple(token for _, token in self._waiting)
        self._waiting.clear()
        return told


def _chars_beyond(raw: bytes, text: str) -> int:
    """Characters of a token that its text does not have yet."""
    token = raw.decode("utf-8", "ignore")
    if not token:
        return int(bool(raw))  # a part of a character
    return next(len(token) - n for n in range(len(token), -1, -1) if text.endswith(token[:n]))
