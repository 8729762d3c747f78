"""Pseudonyms: words such as ``<EMAIL_1>`` in the place of values, and what they stand for.

They are numbered by first sight, so one conversation always comes to the same prompt. A word of
that form that somebody else wrote is never given out, so it cannot be taken for one of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

MAX_LABEL_CHARS = 32
MAX_CHARS = MAX_LABEL_CHARS + 9
"""Most characters of a pseudonym."""
SHAPE = re.compile(rf"<[A-Z][A-Z0-9_]{{0,{MAX_LABEL_CHARS - 1}}}_[0-9]{{1,6}}>")


class Pseudonyms:
    """Values and their pseudonyms, of one request or of one of its choices.

    Args:
        reserved: words of the form that somebody else wrote.
    """

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._reserved = set(reserved)
        self._by_value: dict[tuple[str, str], str] = {}
        self._values: dict[str, str] = {}
        self._last: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._values)

    @property
    def values(self) -> Mapping[str, str]:
        """The value of each pseudonym, as it was first written."""
        return self._values

    def of(self, label: str, key: str, value: str) -> str:
        """The pseudonym of a value.

        Args:
            label: the word for its kind.
            key: equal for spellings of one value.
        """
        known = self._by_value.get((label, key))
        if known is not None:
            return known
        number = self._last.get(label, 0) + 1
        while (word := f"<{label}_{number}>") in self._reserved:
            number += 1
        self._last[label] = number
        self._by_value[label, key] = word
        self._values[word] = value
        return word

    def reserve(self, word: str) -> None:
        """Never give out a word of the form that somebody else has written."""
        if word not in self._values:
            self._reserved.add(word)

    def copy(self) -> Pseudonyms:
        """The same, which goes on by itself."""
        other = Pseudonyms(self._reserved)
        other._by_value = dict(self._by_value)
        other._values = dict(self._values)
        other._last = dict(self._last)
        return other
