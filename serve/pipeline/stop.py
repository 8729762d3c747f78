"""Stop strings in a text that arrives in pieces. Pure: text in, text out.

Holds back any suffix that could still become a stop string, so no part of one is ever sent. The
usage rule (tokens consumed, not tokens received) is kept by the caller, who feeds token by token.
"""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """Cuts a text at the earliest of the given strings.

    Args:
        strings: each non-empty; none at all makes this a pass-through.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = tuple(strings)
        self._held = ""
        self.is_stopped = False

    def feed(self, text: str) -> str:
        """More text; returns what is safe to send. After a stop everything is swallowed."""
        if not self._strings:
            return text
        if self.is_stopped:
            return ""
        text = self._held + text
        cut = min((at for s in self._strings if (at := text.find(s)) >= 0), default=-1)
        if cut >= 0:
            self.is_stopped = True
            self._held = ""
            return text[:cut]
        keep = self._num_held(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def finish(self) -> str:
        """No more text comes: what was held back is text after all."""
        held, self._held = self._held, ""
        return held

    def _num_held(self, text: str) -> int:
        """Length of the longest suffix that is a proper prefix of a stop string."""
        longest = min(len(text), max(map(len, self._strings)) - 1)
        for length in range(longest, 0, -1):
            suffix = text[-length:]
            if any(s.startswith(suffix) for s in self._strings):
                return length
        return 0
