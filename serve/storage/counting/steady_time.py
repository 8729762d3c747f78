"""Time that never runs backwards, made of a clock that may.

A store's own time is its machine's clock, which somebody can set. Set back by a day it would hold
every lease for a day more and let nothing leak meanwhile. So the counters go on from the last
moment that they saw, at the pace of the clock: what they keep of it is how far they are ahead. A
clock that is set forward cannot be told from time that has passed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SteadyTime:
    """A moment of the counters' time, and how far that is ahead of the store's clock."""

    now_ms: int = 0
    ahead_ms: int = 0

    def at(self, clock_ms: int) -> SteadyTime:
        """The moment at which the store's clock says ``clock_ms``; never before this one."""
        now_ms = max(self.now_ms, clock_ms + self.ahead_ms)
        return SteadyTime(now_ms, now_ms - clock_ms)
