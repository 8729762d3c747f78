"""Some literals, looked for in a text that comes in pieces.

The earliest counts, and the longest of those that begin there; what has come is told apart from
what could still become one, so that any pieces give the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable


class Literals:
    """Literals that are looked for together.

    Args:
        literals: empty ones are left out.
    """

    def __init__(self, literals: Iterable[str]) -> None:
        known = sorted({text for text in literals if text}, key=lambda text: (-len(text), text))
        self._longest = max(map(len, known), default=0)
        self._known = known
        firsts = "".join(text[0] for text in known)
        self._firsts = re.compile(f"[{re.escape(firsts)}]" if firsts else r"(?!)")
        # Nothing matches where there are none.
        self._pattern = re.compile("|".join(map(re.escape, known)) or r"(?!)")

    def find(
        self, text: str, at: int, *, is_over: bool, most: int | None = None
    ) -> tuple[int, str] | None:
        """The place where the first begins, and which it is; None where none has surely come.

        Args:
            at: where to begin.
            is_over: whether no more text comes.
            most: characters before it, at most; None is any number.
        """
        end = len(text) if most is None else at + most + self._longest
        match = self._pattern.search(text, at, end)
        if match is None:
            return None
        if not is_over and len(text) - self.held(text, at) <= match.start():
            return None  # a longer one could still come in its place
        return match.start(), match[0]

    def held(self, text: str, at: int) -> int:
        """The length of the longest end of a text that could still become one of them."""
        for match in self._firsts.finditer(text, max(at, len(text) - self._longest + 1)):
            tail = text[match.start() :]
            if any(len(one) > len(tail) and one.startswith(tail) for one in self._known):
                return len(tail)
        return 0
