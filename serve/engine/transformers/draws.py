"""A sequence's uniform draws, which can be looked at before they are made."""

from __future__ import annotations

import random
from collections import deque

_SEEDS = 1 << 64


class Draws:
    """The draws of a seed, in order; fresh ones where there is none.

    Python's generator takes a seed's magnitude, so that -7 and 7 would be one: those below zero
    have numbers of their own here, beyond all that 64 bits can say.
    """

    __slots__ = ("_ahead", "_source")

    def __init__(self, seed: int | None) -> None:
        self._source = random.Random(seed if seed is None or seed >= 0 else _SEEDS - seed)
        self._ahead: deque[float] = deque()

    def draw(self) -> float:
        """The next draw, in [0, 1)."""
        return self._ahead.popleft() if self._ahead else self._source.random()

    def peek(self, index: int) -> float:
        """The draw after ``index`` others. Makes none: ``draw`` will return the same."""
        while len(self._ahead) <= index:
            self._ahead.append(self._source.random())
        return self._ahead[index]
