"""The walk from level to level until the server's capacity is known.

An open loop doubles its rate until answers do not keep up, with short levels; then the geometric
middle between the highest rate that was kept up with and the lowest that was not, with long ones,
until they are less than ``NEAR`` apart. With targets it goes on in the same way to the highest rate
at which they are met. A closed loop doubles until twice the requests bring less than 5 % more.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from benchmarks.report.document import Row
from benchmarks.serving.load import Level
from benchmarks.serving.steady import by_chance

NEAR = 1.1
GAIN = 1.05
"""A closed loop is saturated where twice the requests bring less than this in throughput."""
ATTAINMENT = 0.95
"""Share of requests that must meet the targets; `plan` asks for the same."""
_LEAST_REQUESTS = 8
_LEAST_S = 3.0
_LEAST_ANSWERS = 6.0
_MOST_EACH = 64
_CHANCE = {False: 0.2, True: 0.05}
"""Share of answers that may be missing by chance (steady.py), of short levels and of long ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """The next level's load, and whether it is to be judged closely."""

    load: float
    is_long: bool


def next_rate(rows: Sequence[Row], first: float, has_targets: bool) -> Next | None:
    """The next rate of an open loop, given the levels so far; None where there is nothing to find.

    Args:
        rows: measured so far.
        first: rate to begin with.
        has_targets: also find where targets are met.
    """
    found = _search(rows, keeps_up) if rows else Next(load=first, is_long=False)
    if found is None and has_targets and any(map(meets, rows)):
        return _search(rows, meets)
    return found


def _search(rows: Sequence[Row], holds: Callable[[Row], bool]) -> Next | None:
    most, least = bracket(rows, holds)
    if least is None:
        return Next(load=2 * rate_of(most), is_long=False) if most else None
    if most is None:
        return Next(load=_round(rate_of(least) / 2), is_long=False)
    if rate_of(least) / rate_of(most) > NEAR:
        return Next(load=_round(math.sqrt(rate_of(least) * rate_of(most))), is_long=True)
    return None if most.facts["is_long"] else Next(load=rate_of(most), is_long=True)


def bracket(rows: Sequence[Row], holds: Callable[[Row], bool]) -> tuple[Row | None, Row | None]:
    """The highest rate that holds, below all that do not, and the lowest that does not."""
    least = min((row for row in rows if not holds(row)), key=rate_of, default=None)
    below = math.inf if least is None else rate_of(least)
    most = max((r for r in rows if holds(r) and rate_of(r) < below), key=rate_of, default=None)
    return most, least


def rate_of(row: Row) -> float:
    """The nominal rate of a level."""
    return row.facts["offered_requests_s"]


def keeps_up(row: Row) -> bool:
    return not row.facts.get("is_saturated")


def meets(row: Row) -> bool:
    """Whether a level kept up and met the targets."""
    return keeps_up(row) and (row.median("attainment") or 0.0) >= ATTAINMENT


def sized(level: Level, answer_s: float, *, is_long: bool, most_s: float) -> Level:
    """An open level with as many requests as its judgement needs.

    Args:
        level: with its rate.
        answer_s: how long an answer takes at a lower rate.
        is_long: judge it closely.
        most_s: for sending them.
    """
    rate = level.rate or 0.0
    # steady.Steady.chance, solved for the requests that are sent in the window
    needed = by_chance(rate * answer_s) / _CHANCE[is_long]
    window_s = max(max(needed, _LEAST_REQUESTS) / rate, _LEAST_S, _LEAST_ANSWERS * answer_s)
    seconds = min(1.5 * window_s, most_s)
    return replace(level, count=max(_LEAST_REQUESTS, math.ceil(rate * seconds) + 1))


def answers_each(alone_s: float) -> int:
    """Requests of a closed level for each that is in flight, so that it lasts long enough."""
    return min(_MOST_EACH, max(_LEAST_REQUESTS, math.ceil(_LEAST_S / alone_s)))


def next_concurrency(rows: Sequence[Row], first: int) -> int | None:
    """The next level of a closed loop; None where it is saturated."""
    if not rows:
        return first
    if len(rows) > 1 and answers_s(rows[-1]) < GAIN * answers_s(rows[-2]):
        return None
    return 2 * int(rows[-1].facts["offered_concurrency"])


def answers_s(row: Row) -> float:
    """Answers per second of the steady window, or of the whole level where it has none."""
    return row.median("answered_s") or row.median("requests_s") or 0.0


def borne_s(row: Row) -> float:
    """Answers per second that a level shows the server to bear: no more than were asked for."""
    return min(answers_s(row), row.median("offered_s") or math.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """The findings of a sweep.

    Attributes:
        answers_s: per second: at the highest level that was kept up with, or the median of those
            that were not, in which the server was never idle; the larger of both.
        kept_up: the highest level that was kept up with; None where there is none.
        saturated: the lowest that was not.
    """

    answers_s: float
    kept_up: Row | None
    saturated: Row | None

    def __str__(self) -> str:
        kept = (
            "none was kept up with" if self.kept_up is None else f"kept up at {_of(self.kept_up)}"
        )
        full = "none was saturated" if self.saturated is None else _of(self.saturated)
        return f"capacity: {self.answers_s:.3g} answers/s; {kept}; saturated at {full}"

    def facts(self) -> dict[str, float | str]:
        """Facts for the report's settings."""
        return {
            "capacity_answers_s": self.answers_s,
            "kept_up_at": "" if self.kept_up is None else self.kept_up.case,
            "saturated_at": "" if self.saturated is None else self.saturated.case,
        }


def capacity(rows: Sequence[Row]) -> Capacity:
    """The capacity that the levels of a sweep show; at least one."""
    if "offered_requests_s" not in rows[0].facts:
        most = max(rows, key=answers_s)
        last = rows[-1] if len(rows) > 1 and next_concurrency(rows, 1) is None else None
        return Capacity(answers_s=answers_s(most), kept_up=most, saturated=last)
    kept_up, saturated = bracket(rows, keeps_up)
    full = [answers_s(row) for row in rows if not keeps_up(row)]
    borne = 0.0 if kept_up is None else borne_s(kept_up)
    answered = max(borne, statistics.median(full) if full else 0.0)
    return Capacity(answers_s=answered, kept_up=kept_up, saturated=saturated)


def _of(row: Row) -> str:
    offered, answered = row.median("offered_s"), row.median("answered_s")
    if offered is None or answered is None:
        return row.case
    return f"{row.case} ({answered:.3g}/s answered of {offered:.3g}/s sent)"


def _round(rate: float) -> float:
    return float(f"{rate:.3g}")
