"""Guesses of what a sequence will say next: what followed where its last tokens stood before.

Prompt lookup decoding (Saxena 2023; vLLM's method "ngram"): an answer that edits or quotes repeats
long parts of its prompt, or of itself. Pure and without a clock. The index is that of LZ77 as
deflate keeps it: the last place of each hashed pair of tokens, and from each place the one before.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from serve.engine.transformers.lookup_control import LookupControl

_HEADS = 1 << 13
"""Hashed pairs; those that fall together only make a chain longer."""
_MOST_PLACES = 16
"""Places that are looked at for one guess: a repetitive text has as many as it has tokens."""
_MOST_MATCHED = 16
"""Tokens before a place that are compared: of equal ones the latest place is taken."""


class NgramIndex:
    """The places of a text's pairs of tokens: 4 bytes a token, and 32 KiB."""

    __slots__ = ("_heads", "_previous")

    def __init__(self) -> None:
        self._heads = array("i", [-1]) * _HEADS
        self._previous = array("i")

    def guesses(self, token_ids: Sequence[int], most: int, *, least_matched: int) -> list[int]:
        """The tokens that followed the longest earlier match of the last ones; none without one.

        Args:
            token_ids: the text; that of the call before, and what has come since.
            most: guesses.
            least_matched: last tokens that have to stand there, too. At least 2.
        """
        self._add(token_ids)
        best, matched = -1, least_matched - 1
        last = len(token_ids) - 1
        place = self._previous[last] if last > 0 else -1
        for _ in range(_MOST_PLACES):
            if place < 0:
                break
            size = _num_matched(token_ids, place, last)
            if size > matched:
                best, matched = place, size
                if size == _MOST_MATCHED:
                    break
            place = self._previous[place]
        if best < 0:
            return []
        # The match may reach into what is guessed: "a b a b" goes on.
        guessed = list(token_ids[best + 1 : best + 1 + most])
        period = last - best
        while len(guessed) < most:
            guessed += guessed[len(guessed) - period : len(guessed) - period + most - len(guessed)]
        return guessed

    def _add(self, token_ids: Sequence[int]) -> None:
        heads, previous = self._heads, self._previous
        if not previous and token_ids:
            previous.append(-1)
        for place in range(len(previous), len(token_ids)):
            pair = hash((token_ids[place - 1], token_ids[place])) % _HEADS
            previous.append(heads[pair])
            heads[pair] = place


def _num_matched(token_ids: Sequence[int], place: int, last: int) -> int:
    """Tokens up to ``place`` that are those up to ``last``."""
    size = 0
    while (
        size < _MOST_MATCHED and size <= place and token_ids[place - size] == token_ids[last - size]
    ):
        size += 1
    return size


class PromptLookup:
    """One sequence's guesses, as many as they are worth.

    Args:
        most_guesses: in one step.
    """

    __slots__ = ("_control", "_index")

    def __init__(self, most_guesses: int) -> None:
        self._index = NgramIndex()
        self._control = LookupControl(most_guesses)

    def guesses(self, token_ids: Sequence[int], most: int, num_running: int) -> list[int]:
        """Guesses of what follows these tokens, once for each step.

        Args:
            token_ids: of the whole sequence.
            most: guesses.
            num_running: sequences that are decoded in this step.
        """
        most = min(most, self._control.most(num_running))
        if most <= 0:
            return []
        return self._index.guesses(token_ids, most, least_matched=self._control.least_matched)

    def learn(self, num_guesses: int, num_right: int) -> None:
        """Take in how many of the last guesses were right."""
        self._control.learn(num_guesses, num_right)
