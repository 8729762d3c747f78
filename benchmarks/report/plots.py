"""Charts of a report: as SVG for the page, and together as one PNG.

Ours are the dark bars. Whiskers go from the least sample to the most.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from benchmarks.report import load_plots
from benchmarks.report.chart_style import INK, SMALL, Chart, finish, tints
from benchmarks.report.document import Document, Row
from benchmarks.report.figures import KINDS
from benchmarks.report.table import groups

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BAR_FIGURES = ("prefill_tokens_s", "decode_tokens_s")
_SHARES = ("mfu", "mbu")
_WIDTH, _HEIGHT = 8.6, 4.2
"""Inches of a chart; one with many bars is wider."""
_BESIDE, _BAR = 3.2, 0.18
"""Inches of what stands beside the bars, and of each bar."""
_GIGA = 1e9
_CROWDED = 12
"""From so many bars on, what stands on them is turned."""


class PlotError(RuntimeError):
    """There is no matplotlib; the message says what to do."""


def draw(document: Document) -> list[tuple[str, str]]:
    """Titles and SVGs, in the order of the report.

    Raises:
        PlotError: matplotlib is not installed.
    """
    pictures = []
    for title, chart in _charts(document):
        figure = _figure(_width(document), _HEIGHT)
        chart(figure.add_subplot())
        pictures.append((title, _svg(figure)))
    return pictures


def overview(document: Document, *, columns: int = 2) -> bytes:
    """All charts as one PNG.

    Raises:
        PlotError: matplotlib is not installed.
    """
    charts = list(_charts(document))
    columns = min(columns, max(1, len(charts)))
    lines = max(1, -(-len(charts) // columns))
    figure = _figure(_width(document) * columns, _HEIGHT * lines)
    for number, (_, chart) in enumerate(charts):
        chart(figure.add_subplot(lines, columns, number + 1))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _width(document: Document) -> float:
    most = max(
        (
            len({row.name for row in rows}) * len({row.case for row in rows})
            for _, rows in groups(document.rows)
        ),
        default=0,
    )
    return _WIDTH if document.kind == "serving" else max(_WIDTH, _BESIDE + _BAR * most)


def check() -> None:
    """Raises PlotError: matplotlib is not installed."""
    _figure(1, 1)


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - only --out needs it
    except ImportError:
        raise PlotError(
            "--out draws charts with matplotlib, which is not installed: `make setup` installs it, "
            "or leave --out out; the JSON is on stdout in any case."
        ) from None
    return Figure(figsize=(width, height), layout="constrained")


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _charts(document: Document) -> Iterator[tuple[str, Chart]]:
    if document.kind == "serving":
        yield from load_plots.charts(document.rows)
        return
    for title, rows in groups(document.rows):
        for name in _BAR_FIGURES:
            drawn = [row for row in rows if row.samples.get(name)]
            if drawn:
                yield f"{title}: {KINDS[name].label}", _bars(drawn, name, title)
    if document.roofline is not None and any("flops_per_byte" in r.facts for r in document.rows):
        yield "roofline", _roofline(document)


def _bars(rows: Sequence[Row], figure: str, title: str) -> Chart:
    """Systems side by side for each case, with the share of the machine's limit on each bar."""

    def chart(axes: Axes) -> None:
        names = list(dict.fromkeys(row.name for row in rows))
        cases = list(dict.fromkeys(row.case for row in rows))
        colours = tints(names)
        width = 0.84 / len(names)
        is_crowded = len(names) * len(cases) > _CROWDED
        for row in rows:
            samples = row.samples[figure]
            place = cases.index(row.case) + (names.index(row.name) - (len(names) - 1) / 2) * width
            height = row.median(figure) or 0.0
            whiskers = [[height - min(samples)], [max(samples) - height]]
            axes.bar(
                place, height, width * 0.94, color=colours[row.name], yerr=whiskers, ecolor=INK
            )
            share = next((row.median(name) for name in _SHARES if name in row.samples), None)
            if share is not None:
                axes.annotate(
                    f"{share:.0%}",
                    (place, max(samples)),
                    xytext=(0, 2),
                    textcoords="offset points",
                    ha="center",
                    va="bottom",
                    fontsize=SMALL,
                    rotation=90 if is_crowded else 0,
                )
        for name in names:
            axes.bar(0, 0, color=colours[name], label=name)
        axes.set_xticks(range(len(cases)), [textwrap.fill(case, 18) for case in cases])
        axes.margins(y=0.16)
        shares = " and ".join(
            KINDS[name].label for name in _SHARES if any(name in row.samples for row in rows)
        )
        on_bars = f" ({shares} on the bars)" if shares else ""
        finish(axes, f"{title}: {KINDS[figure].label}, tok/s{on_bars}")

    return chart


def _roofline(document: Document) -> Chart:
    """Operations per second against operations per byte: the machine's roof, and every case."""

    def chart(axes: Axes) -> None:
        roofline = document.roofline
        if roofline is None:
            return
        rows = [row for row in document.rows if "flops_per_byte" in row.facts]
        colours = tints(list(dict.fromkeys(row.name for row in rows)))
        ridge = roofline.flops_s / roofline.bytes_s
        at = [row.facts["flops_per_byte"] for row in rows]
        left, right = min([*at, ridge]) / 2, max([*at, ridge]) * 2
        roof = [
            min(roofline.flops_s, flops_per_byte * roofline.bytes_s)
            for flops_per_byte in (left, ridge, right)
        ]
        axes.plot([left, ridge, right], [one / _GIGA for one in roof], color=INK, linewidth=1.5)
        for row in rows:
            intensity = row.facts["flops_per_byte"]
            achieved = (row.median("mfu") or 0.0) * roofline.flops_s
            achieved = achieved or (row.median("mbu") or 0.0) * roofline.bytes_s * intensity
            mark = "s" if "mfu" in row.samples else "o"
            axes.plot(intensity, achieved / _GIGA, mark, color=colours[row.name], markersize=6)
        for name, colour in colours.items():
            axes.plot([], [], "o", color=colour, label=name)
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):  # powers would be smaller than other text
            axis.set_major_formatter("{x:,g}")
            axis.set_minor_formatter("")
        axes.set_xlabel("operations per byte (circles decode, squares prefill)", fontsize=SMALL)
        finish(axes, "roofline: billions of operations per second")

    return chart
