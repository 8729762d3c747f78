"""Open-loop schedules: times at which requests are sent, which do not wait for answers.

A closed loop sends the next request when an answer is there, so a slow server slows its own load
down and hides its queue (Schroeder et al., NSDI 2006). For what users will see, use an open loop.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Literal

Pattern = Literal["constant", "poisson", "burst"]
PATTERNS: tuple[Pattern, ...] = ("constant", "poisson", "burst")


def schedule(
    pattern: Pattern, rate: float, count: int, *, burst: int = 10, seed: int | str = 0
) -> Iterator[float]:
    """Seconds from the start at which each of ``count`` requests is due.

    Args:
        pattern: ``constant`` gaps; ``poisson``: exponential gaps, as of many users who know
            nothing of each other; ``burst``: so many at once, at the same mean rate.
        rate: requests per second, more than 0.
        count: of requests.
        burst: requests of a burst.
        seed: of the gaps.
    """
    source = random.Random(seed)
    at = 0.0
    for number in range(count):
        if pattern == "burst":
            yield number // burst * burst / rate
            continue
        yield at
        at += source.expovariate(rate) if pattern == "poisson" else 1 / rate
