"""The number of places that are kept free of floods: learned from those that come and find none.

A reserve of a few places (in telephony: trunk reservation) is enough for those that come while a
flood's requests end one after another, but how many they are depends on how much the others ask
for, how long answers take and whether they end together. So nothing is estimated: whoever comes and
waits for a flood's sake makes the reserve larger, whoever finds a place a little smaller, and
whoever would wait without the flood, too, smaller by more, as a reserve does not help where the
others fill the places themselves. It settles where one newcomer in a thousand (``FOUND / MISSED``)
waits for a flood's sake, and as many more as wait for each other (Robbins and Monro 1951).

It is never more than those that are no flood came to need of late, and one: for one person beside a
batch of thousands two places are kept, and none for nobody. Pure: no asyncio, no clock.
"""

from __future__ import annotations

from typing import Final

MISSED: Final = 2.0
"""Places that the reserve gets larger by where a newcomer waits for a flood's sake."""
FOUND: Final = 0.002
"""Places that the reserve gets smaller by where a newcomer has found one."""
CROWDED: Final = 2.0
"""Places that it gets smaller by where a newcomer has to wait for its like."""
FIRST_PLACES: Final = 8
"""Places that are kept at first, or half of all: too many, as those of a flood's first moments do
not come back."""
PEAK_S: Final = 60.0
"""Seconds for half of which, at least, a need is remembered."""


class FloodReserve:
    """Places that a flood leaves free.

    Args:
        num_running: sequences that the engine decodes at once.
    """

    def __init__(self, num_running: int) -> None:
        self._most = float(num_running)
        self._learned = min(self._most, max(float(FIRST_PLACES), num_running / 2))
        self._needs = (0, 0)  # the most of this half of PEAK_S, and of the one before
        self._half_began_at = 0.0

    def found(self) -> None:
        """A newcomer that is no flood has found a place beside one."""
        self._learn(-FOUND)

    def missed(self) -> None:
        """A newcomer has to wait, and would not without what a flood has beyond its share."""
        self._learn(MISSED)

    def crowded(self) -> None:
        """A newcomer has to wait, and would without the flood."""
        self._learn(-CROWDED)

    def needed(self, num_places: int, now: float) -> None:
        """Note how many places those that are no flood have, and wait for."""
        self._turn(now)
        self._needs = max(self._needs[0], num_places), self._needs[1]

    def num_places(self, now: float) -> int:
        """Places that are kept now; 0 where nobody but floods needed any of late."""
        self._turn(now)
        needed = max(self._needs)
        return min(int(self._learned), needed + 1) if needed else 0

    def _turn(self, now: float) -> None:
        halves = (now - self._half_began_at) // (PEAK_S / 2)
        if halves >= 1:
            self._needs = 0, self._needs[0] if halves < 2 else 0
            self._half_began_at = now

    def _learn(self, num_places: float) -> None:
        self._learned = min(max(self._learned + num_places, 1.0), self._most)
