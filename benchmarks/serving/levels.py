"""Rows of the report out of traces: the figures of a round, and a level's facts."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from benchmarks.metrics.load import Load
from benchmarks.metrics.percentiles import by_name
from benchmarks.metrics.request import Targets
from benchmarks.report.document import Row
from benchmarks.serving.load import Level
from benchmarks.serving.steady import Steady, is_saturated, steady
from benchmarks.serving.watch import ClientLoad
from benchmarks.trace import Trace


def figures(
    traces: Sequence[Trace], targets: Targets, concurrency: int | None = None
) -> dict[str, float]:
    """All figures of one round, by their names in ``benchmarks.report.figures``.

    Args:
        traces: of all its requests.
        targets: for goodput.
        concurrency: of a closed loop.
    """
    load = Load(traces, targets)
    values = {
        "requests_s": load.requests_s,
        "output_tokens_s": load.output_tokens_s,
        "total_tokens_s": load.total_tokens_s,
        "goodput_s": load.goodput_s,
        "attainment": load.attainment,
        "refusal_share": load.refusal_share,
        "error_share": load.error_share,
        "own_error_share": load.own_error_share,
        "concurrency": load.concurrency,
        "spread_share": load.spread_share,
    }
    if (window := steady(traces, concurrency)) is not None:
        values |= {"offered_s": window.offered_s, "answered_s": window.answered_s}
        if concurrency is None:
            values["kept_share"] = window.kept_share
    for stem in ("ttft", "itl", "tpot", "e2e"):
        values |= by_name(load.percentiles_ms(stem), stem)
    if load.good:
        for name in ("prompt_tokens", "completion_tokens"):
            values[name] = statistics.fmean(getattr(one.trace, name) for one in load.good)
    return values


def judgement(windows: Sequence[Steady | None], *, is_long: bool) -> dict[str, float]:
    """Whether an open level is saturated, as facts of its row; empty where it has no window.

    Args:
        windows: of its rounds.
        is_long: the level is long enough to be judged closely.
    """
    whole = [window for window in windows if window is not None]
    if not whole:
        return {"is_long": float(is_long)}
    chance = statistics.median(window.chance for window in whole) / math.sqrt(len(whole))
    kept = statistics.median(window.kept_share for window in whole)
    return {
        "is_long": float(is_long),
        "chance_share": chance,
        "is_saturated": float(is_saturated(kept, chance, is_long=is_long)),
    }


def row(
    model: str,
    system: str,
    level: Level,
    rounds: Sequence[Mapping[str, float]],
    client: ClientLoad,
    *,
    judged: Mapping[str, float] | None = None,
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
        facts=facts | dict(judged or {}),
    )
