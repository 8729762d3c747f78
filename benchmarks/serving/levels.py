"""Rows of the report out of traces, and the walk from level to level until saturation."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from benchmarks.metrics.load import Load
from benchmarks.metrics.percentiles import by_name
from benchmarks.metrics.request import Targets
from benchmarks.report.document import Row
from benchmarks.serving.load import Level
from benchmarks.serving.watch import ClientLoad
from benchmarks.trace import Trace

GAIN = 1.05
"""A closed loop is saturated where twice the requests bring less than this in throughput."""
KEPT = 0.9
"""An open loop is saturated where fewer than this share of what is offered is answered."""


def figures(traces: Sequence[Trace], targets: Targets) -> dict[str, float]:
    """All figures of one round, by their names in ``benchmarks.report.figures``."""
    load = Load(traces, targets)
    values = {
        "requests_s": load.requests_s,
        "output_tokens_s": load.output_tokens_s,
        "total_tokens_s": load.total_tokens_s,
        "goodput_s": load.goodput_s,
        "attainment": load.attainment,
        "refusal_share": load.refusal_share,
        "error_share": load.error_share,
        "concurrency": load.concurrency,
        "spread_share": load.spread_share,
    }
    for stem in ("ttft", "itl", "tpot", "e2e"):
        values |= by_name(load.percentiles_ms(stem), stem)
    if load.good:
        for name in ("prompt_tokens", "completion_tokens"):
            values[name] = statistics.fmean(getattr(one.trace, name) for one in load.good)
    return values


def row(
    model: str, system: str, level: Level, rounds: Sequence[Mapping[str, float]], client: ClientLoad
) -> Row:
    """One level; a figure that a round has not (no answers) has fewer samples."""
    names = dict.fromkeys(name for figures in rounds for name in figures)
    facts = {
        "requests": float(level.count),
        "client_cpu_share": client.cpu_share,
        "client_lag_ms_p99": client.lag_ms_p99,
        "client_late_ms_p99": client.late_ms_p99,
        "client_is_bottleneck": float(client.is_bottleneck),
    }
    if level.rate is not None:
        facts["offered_requests_s"] = level.rate
    if level.concurrency is not None:
        facts["offered_concurrency"] = float(level.concurrency)
    return Row(
        model=model,
        system=system,
        via="HTTP",
        case=level.label,
        samples={name: [figures[name] for figures in rounds if name in figures] for name in names},
        facts=facts,
    )


def climb(first: Level, most: int) -> Iterator[Level]:
    """Twice the load each time, up to ``most`` levels."""
    level = first
    for _ in range(most):
        yield level
        if level.rate is not None:
            level = replace(level, rate=level.rate * 2, count=level.count * 2)
        elif level.concurrency is not None:
            level = replace(level, concurrency=level.concurrency * 2, count=level.count * 2)
        else:
            return


def is_saturated(rows: Sequence[Row]) -> bool:
    """Whether the last level brought no more than the one before, or less than was offered."""
    last = rows[-1]
    answered = last.median("requests_s") or 0.0
    offered = last.facts.get("offered_requests_s")
    if offered is not None:
        return answered < KEPT * offered
    if len(rows) < 2:
        return False
    before = rows[-2].median("output_tokens_s") or 0.0
    return (last.median("output_tokens_s") or 0.0) < GAIN * before
