"""Charts of a report: as SVG for the page, and together as one PNG.

Ours are the dark bars. Whiskers go from the least sample to the most.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from benchmarks.report.document import Document, Row
from benchmarks.report.figures import KINDS
from benchmarks.report.table import groups

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OURS = ("#0b3d91", "#2f6fd0", "#7fb0f5", "#00a0a0")
_THEIRS = ("#b85c00", "#d98f3a", "#8a8a8a", "#5f8f5f", "#a05f8f", "#c9b037")
_INK, _GRID = "#222222", "#dddddd"
_BAR_FIGURES = ("prefill_tokens_s", "decode_tokens_s")
_SHARES = ("mfu", "mbu")
Draw = Callable[["Axes"], None]


class PlotError(RuntimeError):
    """There is no matplotlib; the message says what to do."""


def draw(document: Document) -> Mapping[str, str]:
    """SVGs by title.

    Raises:
        PlotError: matplotlib is not installed.
    """
    pictures = {}
    for title, chart in _charts(document):
        figure = _figure(7.6, 3.6)
        chart(figure.add_subplot())
        pictures[title] = _svg(figure)
    return pictures


def overview(document: Document, *, columns: int = 2) -> bytes:
    """All charts as one PNG.

    Raises:
        PlotError: matplotlib is not installed.
    """
    charts = list(_charts(document))
    lines = max(1, -(-len(charts) // columns))
    figure = _figure(7.6 * columns, 3.6 * lines)
    for number, (_, chart) in enumerate(charts):
        chart(figure.add_subplot(lines, columns, number + 1))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - only --out needs it
    except ImportError:
        raise PlotError(
            "--out draws charts with matplotlib, which is not installed: `make setup-dev`, or "
            "leave --out out; the JSON is on stdout in any case."
        ) from None
    return Figure(figsize=(width, height), layout="constrained")


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _charts(document: Document) -> Iterator[tuple[str, Draw]]:
    if document.kind == "serving":
        yield from _load_charts(document.rows)
        return
    for title, rows in groups(document.rows):
        for name in _BAR_FIGURES:
            if name in rows[0].samples:
                yield f"{title}: {KINDS[name].label}", _bars(rows, name, title)
    if document.roofline is not None and any("flops_per_byte" in r.facts for r in document.rows):
        yield "roofline", _roofline(document)


def colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each system: ours are blue."""
    ours = [name for name in names if name.startswith("intramural")]
    others = [name for name in names if name not in ours]
    return {
        **{name: _OURS[at % len(_OURS)] for at, name in enumerate(ours)},
        **{name: _THEIRS[at % len(_THEIRS)] for at, name in enumerate(others)},
    }


def _bars(rows: Sequence[Row], figure: str, title: str) -> Draw:
    """Systems side by side for each case, with the share of the machine's limit on each bar."""

    def chart(axes: Axes) -> None:
        names = list(dict.fromkeys(row.name for row in rows))
        cases = list(dict.fromkeys(row.case for row in rows))
        tints = colours(names)
        width = 0.84 / len(names)
        for row in rows:
            samples = row.samples.get(figure)
            if not samples:
                continue
            place = cases.index(row.case) + (names.index(row.name) - (len(names) - 1) / 2) * width
            height = row.median(figure) or 0.0
            whiskers = [[height - min(samples)], [max(samples) - height]]
            axes.bar(place, height, width * 0.94, color=tints[row.name], yerr=whiskers, ecolor=_INK)
            share = next((row.median(name) for name in _SHARES if name in row.samples), None)
            if share is not None:
                axes.annotate(
                    f"{share:.0%}", (place, max(samples)), ha="center", va="bottom", fontsize=7
                )
        for name in names:
            axes.bar(0, 0, color=tints[name], label=name)
        axes.set_xticks(range(len(cases)), cases, fontsize=8)
        shares = " and ".join(
            KINDS[name].label for name in _SHARES if any(name in row.samples for row in rows)
        )
        _finish(axes, f"{title}: {KINDS[figure].label}, tok/s ({shares} on the bars)")

    return chart


def _roofline(document: Document) -> Draw:
    """Operations per second against operations per byte: the machine's roof, and every case."""

    def chart(axes: Axes) -> None:
        roofline = document.roofline
        if roofline is None:
            return
        rows = [row for row in document.rows if "flops_per_byte" in row.facts]
        tints = colours(list(dict.fromkeys(row.name for row in rows)))
        ridge = roofline.flops_s / roofline.bytes_s
        at = [row.facts["flops_per_byte"] for row in rows]
        left, right = min([*at, ridge]) / 2, max([*at, ridge]) * 2
        roof = [
            min(roofline.flops_s, flops_per_byte * roofline.bytes_s)
            for flops_per_byte in (left, ridge, right)
        ]
        axes.plot([left, ridge, right], roof, color=_INK, linewidth=1.5)
        for row in rows:
            intensity = row.facts["flops_per_byte"]
            achieved = (row.median("mfu") or 0.0) * roofline.flops_s
            achieved = achieved or (row.median("mbu") or 0.0) * roofline.bytes_s * intensity
            mark = "s" if "mfu" in row.samples else "o"
            axes.plot(intensity, achieved, mark, color=tints[row.name], markersize=6)
        for name, tint in tints.items():
            axes.plot([], [], "o", color=tint, label=name)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("operations per byte (circles decode, squares prefill)", fontsize=8)
        _finish(axes, "roofline: operations per second")

    return chart


def _load_charts(rows: Sequence[Row]) -> Iterator[tuple[str, Draw]]:
    yield "latency against throughput", _latency_against_throughput(rows)
    for stem in ("ttft", "tpot"):
        yield f"{stem.upper()} against load", _percentiles(rows, stem)
    yield "answers and refusals against load", _rates(rows)


def _latency_against_throughput(rows: Sequence[Row]) -> Draw:
    def chart(axes: Axes) -> None:
        for point, style in (("p50", "o-"), ("p99", "s--")):
            pairs = [
                (row.median("output_tokens_s"), row.median(f"tpot_ms_{point}")) for row in rows
            ]
            known = [(x, y) for x, y in pairs if x is not None and y is not None]
            axes.plot(*zip(*known, strict=True), style, color=_OURS[0], label=f"TPOT {point}")
            pairs = [
                (row.median("output_tokens_s"), row.median(f"ttft_ms_{point}")) for row in rows
            ]
            known = [(x, y) for x, y in pairs if x is not None and y is not None]
            axes.plot(*zip(*known, strict=True), style, color=_THEIRS[0], label=f"TTFT {point}")
        axes.set_yscale("log")
        axes.set_xlabel("output, tok/s", fontsize=8)
        _finish(axes, "latency against throughput, ms")

    return chart


def _percentiles(rows: Sequence[Row], stem: str) -> Draw:
    def chart(axes: Axes) -> None:
        for point, tint in zip(("p50", "p90", "p95", "p99"), (*_OURS[:3], _THEIRS[0]), strict=True):
            values = [row.median(f"{stem}_ms_{point}") for row in rows]
            axes.plot(range(len(rows)), values, "o-", color=tint, label=point)  # type: ignore[arg-type]
        axes.set_yscale("log")
        _levels(axes, rows)
        _finish(axes, f"{stem.upper()} against load, ms")

    return chart


def _rates(rows: Sequence[Row]) -> Draw:
    def chart(axes: Axes) -> None:
        for name, tint in (("requests_s", _OURS[1]), ("goodput_s", _OURS[0])):
            values = [row.median(name) for row in rows]
            axes.plot(range(len(rows)), values, "o-", color=tint, label=KINDS[name].label)  # type: ignore[arg-type]
        refused = [
            (row.median("requests_s") or 0.0) * (row.median("refusal_share") or 0.0) for row in rows
        ]
        axes.plot(range(len(rows)), refused, "s--", color=_THEIRS[0], label="refused")
        _levels(axes, rows)
        _finish(axes, "answers, goodput and refusals per second")

    return chart


def _levels(axes: Axes, rows: Sequence[Row]) -> None:
    axes.set_xticks(range(len(rows)), [row.case for row in rows], fontsize=7, rotation=20)


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=10, color=_INK, loc="left")
    axes.grid(visible=True, axis="y", color=_GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
