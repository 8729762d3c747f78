"""The steady part of a level: what was really sent and answered in it, and whether answers kept up.

The nominal rate is not what a level of few requests sends, and the time until the last answer is no
measure of a rate: a server that keeps up ends one answer's time after the last request. So both are
counted in one window, which begins when the level has settled and ends with the last sending.

In a server that keeps up, the requests in flight at the window's two ends differ by chance alone:
for a mean of L in flight the difference has a standard deviation of about sqrt(2 L), as for Poisson
arrivals (M/G/inf). What is missing beyond two of these has piled up, or was refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.metrics.request import Request
from benchmarks.trace import Trace

WARM_UP = 1 / 3
"""Share of the sending time of an open loop that is left out."""
LEAST_MISSING = 0.03
"""However long the level: fewer missing answers than this share are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """Counts of the window.

    Attributes:
        length_s: of the window.
        sent: requests that were sent in it.
        answered: whole answers that ended in it.
        in_flight: requests that would be in flight on average without a queue: the sent ones, each
            for as long as the quickest tenth of the level's answers took.
    """

    length_s: float
    sent: int
    answered: int
    in_flight: float

    @property
    def offered_s(self) -> float:
        return self.sent / self.length_s

    @property
    def answered_s(self) -> float:
        return self.answered / self.length_s

    @property
    def kept_share(self) -> float:
        return self.answered / max(1, self.sent)

    @property
    def chance(self) -> float:
        """Share of the requests that may be missing by chance."""
        return by_chance(self.in_flight) / max(1, self.sent)


def by_chance(in_flight: float) -> float:
    """Requests by which arrivals and answers may differ: two standard deviations, and one more."""
    return 1 + 2 * math.sqrt(2 * in_flight)


def steady(traces: Sequence[Trace], concurrency: int | None = None) -> Steady | None:
    """The window's counts; None where the level is too short to have one as long as an answer.

    Args:
        traces: of the whole level.
        concurrency: of a closed loop. Its window begins when so many requests are over.
    """
    sent_at = sorted(trace.sent_at for trace in traces)
    if len(sent_at) < 2:
        return None
    ends_at = sent_at[-1]
    begins_at = sent_at[0] + WARM_UP * (ends_at - sent_at[0])
    if concurrency is not None:
        over_at = sorted(trace.finished_at or ends_at for trace in traces)
        begins_at = over_at[min(concurrency, len(over_at)) - 1]
    if ends_at <= begins_at:
        return None
    good = [trace for trace in traces if Request(trace).is_good]
    took_s = sorted((trace.finished_at or ends_at) - trace.sent_at for trace in good)
    length_s = ends_at - begins_at
    if took_s and length_s < took_s[len(took_s) // 10]:
        return None
    sent = sum(begins_at < at <= ends_at for at in sent_at)
    return Steady(
        length_s=length_s,
        sent=sent,
        answered=sum(begins_at < (trace.finished_at or 0.0) <= ends_at for trace in good),
        in_flight=took_s[len(took_s) // 10] * sent / length_s if took_s else 0.0,
    )


def is_saturated(kept_share: float, chance: float, *, is_long: bool = True) -> bool:
    """Whether more answers are missing than chance has it.

    A short level, of few requests, has to be twice as clear: from it the walk goes on by doubling.
    """
    return 1 - kept_share > max(chance if is_long else 2 * chance, LEAST_MISSING)
