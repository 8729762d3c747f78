"""Tokens beside the text that they made: where each begins, with which piece it is sent. No I/O.

A token's log-probability travels with the text in which its first character is. So tokens wait here
while an unfinished character is held back, and a token without text of its own (a special one)
waits for nothing but the tokens before it.
"""

from __future__ import annotations

from dataclasses import replace

from serve.pipeline.detokenize import REPLACEMENT, Detokenizer
from serve.pipeline.events import TokenText


class AlignedTokens:
    """The tokens of one choice, in the order in which they are fed."""

    def __init__(self, detokenizer: Detokenizer) -> None:
        self._detokenizer = detokenizer
        self._num_chars = 0
        self._waiting: list[TokenText] = []

    def feed(self, token_id: int, token: TokenText) -> tuple[str, list[TokenText]]:
        """Detokenise a token.

        Args:
            token: as it would be inside a text.

        Returns:
            The text that it completes, and the tokens that are in it or before it.
        """
        raw, num_before = self._detokenizer.peek(token_id)
        if raw != token.raw and REPLACEMENT.encode() not in raw:
            # Its neighbours decide: most often no text stands before it, and so no space. Or it
            # is a special one, and these are shown.
            token = replace(token, raw=raw, text=raw.decode("utf-8", "replace"))
        self._waiting.append(replace(token, offset=self._num_chars + num_before))
        text = self._detokenizer.feed((token_id,))
        self._num_chars += len(text)
        if self._detokenizer.is_holding and not text:
            return text, []
        return text, self._taken()

    def finish(self) -> tuple[str, list[TokenText]]:
        """The rest of the text, and the tokens in it."""
        text = self._detokenizer.finish()
        self._num_chars += len(text)
        return text, self._taken()

    @property
    def num_chars(self) -> int:
        """Characters of the text so far."""
        return self._num_chars

    def _taken(self) -> list[TokenText]:
        taken, self._waiting = self._waiting, []
        return taken
