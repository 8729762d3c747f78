"""Charts of load on servers: latency and rates against what was offered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.report.chart_style import OURS, SMALL, THEIRS, Chart, finish
from benchmarks.report.document import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINTS = ("p50", "p90", "p95", "p99")
_LOG_FROM = 8
"""An axis is logarithmic where the largest value is so many times the smallest."""
_LOADS = {
    "offered_requests_s": "requests offered per second",
    "offered_concurrency": "requests in flight",
}


def charts(rows: Sequence[Row]) -> Iterator[tuple[str, Chart]]:
    """Four for each model and server; a title says which where there are several."""
    by_server: dict[str, list[Row]] = {}
    for row in rows:
        by_server.setdefault(f"{row.model}, {row.name}: ", []).append(row)
    for server, its_rows in by_server.items():
        prefix = server if len(by_server) > 1 else ""
        yield from _server(prefix, its_rows)


def _server(prefix: str, rows: Sequence[Row]) -> Iterator[tuple[str, Chart]]:
    title = f"{prefix}latency against throughput, ms"
    yield title, _latency_against_throughput(rows, title)
    for stem in ("ttft", "tpot"):
        title = f"{prefix}{stem.upper()} against load, ms"
        yield title, _percentiles(rows, stem, title)
    title = f"{prefix}answers, goodput and refusals per second"
    yield title, _rates(rows, title)


def _latency_against_throughput(rows: Sequence[Row], title: str) -> Chart:
    def chart(axes: Axes) -> None:
        for stem, tint in (("tpot", OURS[0]), ("ttft", THEIRS[0])):
            for point, style in (("p50", "o-"), ("p99", "s--")):
                pairs = [
                    (row.median("output_tokens_s"), row.median(f"{stem}_ms_{point}"))
                    for row in rows
                ]
                known = [(x, y) for x, y in pairs if x is not None and y is not None]
                label = f"{stem.upper()} {point}"
                xs, ys = [x for x, _ in known], [y for _, y in known]
                axes.plot(xs, ys, style, color=tint, label=label)
        _scale(axes)
        axes.set_xlabel("output, tok/s", fontsize=SMALL)
        finish(axes, title)

    return chart


def _percentiles(rows: Sequence[Row], stem: str, title: str) -> Chart:
    def chart(axes: Axes) -> None:
        xs = _loads(axes, rows)
        for point, tint in zip(_POINTS, (*OURS[:3], THEIRS[0]), strict=True):
            values = [row.median(f"{stem}_ms_{point}") for row in rows]
            axes.plot(xs, values, "o-", color=tint, label=point)  # type: ignore[arg-type]
        _scale(axes)
        finish(axes, title)

    return chart


def _rates(rows: Sequence[Row], title: str) -> Chart:
    def chart(axes: Axes) -> None:
        xs = _loads(axes, rows)
        for name, label, style, tint in (
            ("offered_s", "sent", ":", THEIRS[2]),
            ("answered_s", "answered", "o-", OURS[1]),
            ("goodput_s", "goodput", "o-", OURS[0]),
        ):
            values = [row.median(name) for row in rows]
            axes.plot(xs, values, style, color=tint, label=label)  # type: ignore[arg-type]
        refused = [
            (row.median("offered_s") or 0.0) * (row.median("refusal_share") or 0.0) for row in rows
        ]
        axes.plot(xs, refused, "s--", color=THEIRS[0], label="refused")
        finish(axes, title)

    return chart


def _scale(axes: Axes) -> None:
    """Begin at 0 where all values are of one size; else be logarithmic, in plain numbers."""
    values = [
        value
        for line in axes.lines
        for value in np.asarray(line.get_ydata(), dtype=float)
        if value > 0  # not of the levels without an answer, which are NaN
    ]
    if values and max(values) >= _LOG_FROM * min(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:,g}")
        axes.yaxis.set_minor_formatter("")
    else:
        axes.set_ylim(0, 1.1 * max(values, default=1.0))


def _loads(axes: Axes, rows: Sequence[Row]) -> list[float]:
    """Places on the horizontal axis, which is logarithmic where the load is a number."""
    for name, label in _LOADS.items():
        if all(name in row.facts for row in rows):
            places = [row.facts[name] for row in rows]
            axes.set_xscale("log")
            axes.set_xlabel(label, fontsize=SMALL)
            ticks = _apart(sorted(places))
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.set_xticks([], minor=True)
            return places
    axes.set_xticks(range(len(rows)), [row.case for row in rows], rotation=20)
    return [float(number) for number in range(len(rows))]


def _apart(places: Sequence[float]) -> list[float]:
    """Those of the places that are far enough apart to be read."""
    kept: list[float] = []
    least = (places[-1] / places[0]) ** (1 / 12)
    for place in places:
        if not kept or place >= kept[-1] * max(least, 1.0001):
            kept.append(place)
    return kept
