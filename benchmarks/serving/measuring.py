"""Levels that are measured one after the other, and what there is to say about them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from benchmarks.metrics.request import Request, Targets
from benchmarks.report.document import Row
from benchmarks.serving import levels, walk
from benchmarks.serving.load import Level
from benchmarks.serving.steady import steady
from benchmarks.serving.watch import ClientLoad
from benchmarks.trace import Trace

Send: TypeAlias = Callable[[Level], tuple[list[Trace], ClientLoad]]
"""All requests of a level, by its seed; raises ValueError where there is none to send."""
_PILOTS = 3


@dataclass(kw_only=True)
class Book:
    """The rows and notes so far.

    Attributes:
        model, system: what rows are called.
        seed: of the run. Each level and round has its own out of it, so that no prompt and no
            gap comes twice, and the same run sends the same.
        rounds: of each level.
        send: sends a level.
        on_step: called with words before each level and round.
        on_row: called after each level.
    """

    model: str
    system: str
    targets: Targets
    seed: int
    rounds: int
    send: Send
    on_step: Callable[[str], None] = lambda _: None
    on_row: Callable[[], None] = lambda: None
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def take(self, level: Level, *, is_long: bool = True) -> Row:
        """Measure a level; a row of the same level gives way."""
        results = []
        for number in range(self.rounds):
            self.on_step(_words(level))
            seeded = replace(level, seed=f"{self.seed} {level.label} {is_long} {number}")
            results.append(self.send(seeded))
            self._note(level, *results[-1])
        rounds = [levels.figures(traces, self.targets, level.concurrency) for traces, _ in results]
        judged = None
        if level.rate is not None:
            windows = [steady(traces) for traces, _ in results]
            judged = levels.judgement(windows, is_long=is_long)
        made = levels.row(self.model, self.system, level, rounds, results[-1][1], judged=judged)
        self.rows = [row for row in self.rows if row.case != made.case] + [made]
        self.on_row()
        return made

    def pilot_s(self, level: Level) -> float:
        """Seconds of an answer when nothing else runs; 1 where none came whole."""
        self.on_step("an answer alone")
        alone = replace(level, count=_PILOTS, rate=None, concurrency=1, seed=f"{self.seed} pilot")
        took = [Request(trace).e2e_s for trace in self.send(alone)[0] if Request(trace).is_good]
        return statistics.median(each for each in took if each is not None) if took else 1.0

    def _note(self, level: Level, traces: Sequence[Trace], client: ClientLoad) -> None:
        errors = sorted({trace.error for trace in traces if trace.error and not trace.is_own_error})
        self.notes += [f"{level.label}: {error}" for error in errors[:3]]
        own = [trace for trace in traces if trace.is_own_error]
        if own:
            self.notes.append(
                f"{level.label}: DO NOT TRUST, {len(own)} of {len(traces)} requests failed by the "
                f"load generator's own errors, not the server's: {own[0].error}"
            )
        if not all(trace.has_usage for trace in traces):
            self.notes.append(
                "the server tells no usage in streams (stream_options.include_usage): tokens of "
                "answers are counted as chunks, each of which may hold several"
            )
        if client.is_bottleneck:
            self.notes.append(f"{level.label}: DO NOT TRUST, {client}")


def sweep_open(
    book: Book, first: Level, *, num_requests: int | None, most_levels: int, most_s: float
) -> None:
    """Levels of an open loop until capacity is known, as walk.py has it.

    Args:
        book: takes the rows.
        first: with the rate to begin with.
        num_requests: of each level, instead of as many as its judgement needs.
        most_levels: that are measured.
        most_s: for sending a level's requests.
    """
    alone_s = book.pilot_s(first)
    for _ in range(most_levels):
        found = walk.next_rate(book.rows, first.rate or 1.0, has_targets=bool(book.targets))
        if found is None:
            return
        level = replace(first, rate=found.load)
        if num_requests is not None:
            book.take(replace(level, count=num_requests))
            continue
        kept = [row.median("e2e_ms_p50") for row in book.rows if walk.keeps_up(row)]
        answer_s = max(alone_s, *((each or 0.0) / 1e3 for each in kept), 1e-3)
        sized = walk.sized(level, answer_s, is_long=found.is_long, most_s=most_s)
        book.take(sized, is_long=found.is_long)
    book.notes.append(f"not finished after {most_levels} levels: --max-levels allows more")


def sweep_closed(book: Book, first: Level, *, num_requests: int | None, most_levels: int) -> None:
    """Levels of a closed loop, twice the requests each, until they bring less than 5 % more."""
    alone_s = book.pilot_s(first)
    for _ in range(most_levels):
        concurrency = walk.next_concurrency(book.rows, first.concurrency or 1)
        if concurrency is None:
            return
        count = num_requests or concurrency * walk.answers_each(alone_s)
        book.take(replace(first, concurrency=concurrency, count=count))
    book.notes.append(f"not finished after {most_levels} levels: --max-levels allows more")


def _words(level: Level) -> str:
    words = f"{level.label}, {level.count} requests"
    return words if level.rate is None else f"{words} in {level.count / level.rate:.0f} s"
