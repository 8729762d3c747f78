"""When those that are refused are told to come back, and what is kept for them. Pure.

Whoever is refused is told a later time than the one before, one for every few turns, so that they
do not come back all at once and find room beside those that are new.
"""

from __future__ import annotations

import math
from typing import Final

from serve.service.asked import Asked

LONGEST_RETRY_S: Final = 10
CALLED_SHARE: Final = 4
"""One turn in so many is for a request that was refused and told to come back."""
KEPT_SHARE: Final = 4
"""So much of the queue is kept for them, while there are any."""
UNKNOWN_S: Final = 2.5
"""Seconds that a request is taken to run, for telling when to come back, before any are known."""


class ComeBack:
    """The order in which those that were refused come back.

    Args:
        num_places: of the engine.
        max_waiting: sequences that may wait; None keeps nothing for anybody.
    """

    def __init__(self, num_places: int, max_waiting: int | None) -> None:
        self._num_places = num_places
        self._most_new = None if max_waiting is None else max_waiting - max_waiting // KEPT_SHARE
        self._called_until = 0.0  # those that were refused have been told to come back by then

    def retry_after_s(self, now: float, turn_s: float | None) -> int:
        """Seconds after which a place may be free for one more.

        Args:
            turn_s: between one turn and the next; None where it is not known.
        """
        step_s = CALLED_SHARE * (turn_s or UNKNOWN_S / self._num_places)
        self._called_until = min(now + LONGEST_RETRY_S, max(now, self._called_until) + step_s)
        return within_bounds(self._called_until - now)

    def is_kept(self, asked: Asked, num_waiting: int, now: float) -> bool:
        """Whether the room that is left is for those that were told to come back.

        Args:
            num_waiting: sequences that wait.
        """
        if asked.is_retry or self._most_new is None or self._called_until <= now:
            return False
        return num_waiting + asked.width > self._most_new


def within_bounds(seconds: float) -> int:
    """Seconds that a client may be told to wait: whole ones, at least one."""
    return min(LONGEST_RETRY_S, max(1, math.ceil(seconds)))
