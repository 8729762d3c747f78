"""The end of a growing text that could still become one of some strings.

Knuth, Morris and Pratt 1977, "Fast pattern matching in strings", for each string: a character costs
a constant number of steps on average, however long the strings are and whatever the text is. The
table of borders is made as far as it is needed.
"""

from __future__ import annotations

from collections.abc import Sequence


class Prefixes:
    """The longest end of a text that begins one of the strings, piece by piece.

    Args:
        strings: each non-empty.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = tuple(strings)
        self._matched = [0] * len(self._strings)
        self._borders: list[list[int]] = [[0] for _ in self._strings]

    def feed(self, text: str) -> int:
        """Take more of the text.

        Returns:
            The number of characters at its end, so far, that are a proper beginning of a string.
        """
        for number, string in enumerate(self._strings):
            if self._matched[number] or string[0] in text:
                self._matched[number] = self._after(number, string, text)
        return max(self._matched, default=0)

    def _after(self, number: int, string: str, text: str) -> int:
        matched = self._matched[number]
        for char in text:
            while matched and string[matched] != char:
                matched = self._border(number, matched)
            matched += string[matched] == char
            if matched == len(string):
                matched = self._border(number, matched)
        return matched

    def _border(self, number: int, length: int) -> int:
        """The longest proper beginning of ``string[:length]`` that is its end, too."""
        string, borders = self._strings[number], self._borders[number]
        while len(borders) < length:
            char, border = string[len(borders)], borders[-1]
            while border and string[border] != char:
                border = borders[border - 1]
            borders.append(border + (string[border] == char))
        return borders[length - 1]
