"""A report as tables in the terminal."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from rich import box
from rich.table import Table

from benchmarks import machine
from benchmarks.report.document import Document, Ratio, Row
from benchmarks.report.figures import KINDS
from models.progress import size

_SERVING = (
    *("requests_s", "offered_s", "answered_s", "output_tokens_s", "concurrency"),
    *("goodput_s", "attainment"),
    *("ttft_ms_p50", "ttft_ms_p99", "tpot_ms_p50", "tpot_ms_p99", "itl_ms_p99"),
)
_IF_ANY = ("refusal_share", "error_share", "own_error_share")
_STEADY = ("offered_s", "answered_s")
"""Shown where they are there and not 0. All other figures of a load are in the JSON alone."""


def tables(document: Document) -> Iterator[Table]:
    """The machine's limits, then a table per model and kind of case, then the ratios."""
    if document.roofline is not None:
        yield _roofline(document)
    for title, rows in groups(document.rows):
        yield _rows(title, rows)
    if document.ratios:
        yield _ratios(document.ratios)


def groups(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Rows of one model that have the same figures, with a title."""
    rows_by_group: dict[tuple[str, tuple[str, ...]], list[Row]] = {}
    for row in rows:
        rows_by_group.setdefault((row.model, columns(row)), []).append(row)
    return [(model, group) for (model, _), group in rows_by_group.items()]


def columns(row: Row) -> tuple[str, ...]:
    """Names of the figures that are shown."""
    name = next(iter(row.samples), "")
    if name.startswith(("prefill", "decode")):
        # A row without a roofline's share belongs to the same table as those with one.
        return (
            ("prefill_tokens_s", "ttft_ms", "mfu")
            if name.startswith("prefill")
            else (
                "decode_tokens_s",
                "itl_ms_p50",
                "itl_ms_p99",
                "mbu",
            )
        )
    return (*_SERVING, *_IF_ANY)


def shown(rows: Sequence[Row]) -> list[str]:
    """Names of the columns that say something about these rows."""
    return [
        name
        for name in columns(rows[0])
        if name not in (*_IF_ANY, *_STEADY) or any(row.median(name) for row in rows)
    ]


def cell(row: Row, figure: str) -> str:
    """Median, and how far the samples lie apart from it."""
    samples = row.samples.get(figure)
    if not samples:
        return "-"
    middle = statistics.median(samples)
    text = KINDS[figure].text(middle)
    if len(samples) < 2 or not middle or figure in ("mbu", "mfu"):
        return text
    return f"{text} ±{spread(samples):.0%}"


def spread(samples: Sequence[float]) -> float:
    """Half the distance between least and most, as a share of the median."""
    return (max(samples) - min(samples)) / 2 / abs(statistics.median(samples))


def _roofline(document: Document) -> Table:
    roofline = document.roofline
    table = Table(box=box.SIMPLE_HEAD, title=f"Limits: {machine.in_words(document.machine)}")
    if roofline is None:
        return table
    table.add_column("measured")
    table.add_column("", justify="right")
    table.add_row(f"memory, reading ({roofline.kernel})", f"{size(roofline.bytes_s)}/s")
    for dtype, rate in roofline.flops_s_by_dtype.items():
        unit = "Tflop/s" if rate >= 1e12 else "Gflop/s"
        shown = rate / (1e12 if rate >= 1e12 else 1e9)
        table.add_row(f"matrix products, {dtype}", f"{shown:,.1f} {unit}")
    return table


def _rows(title: str, rows: Sequence[Row]) -> Table:
    figures = shown(rows)
    table = Table(box=box.SIMPLE_HEAD, title=title)
    table.add_column("case")
    has_systems = len({row.name for row in rows}) > 1
    if has_systems:
        table.add_column("system")
        table.add_column("via")
    for figure in figures:
        kind = KINDS[figure]
        unit = "" if kind.unit in ("", "share") else f"\n{kind.unit}"
        table.add_column(f"{kind.label}{unit}", justify="right")
    before = None
    for row in rows:
        names = [row.name, row.via] if has_systems else []
        table.add_row(
            row.case if row.case != before else "", *names, *(cell(row, name) for name in figures)
        )
        before = row.case
    return table


def _ratios(ratios: Sequence[Ratio]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="ratios, paired by round; above 1 favours the first")
    for heading in ("model", "case", "of", "first", "against"):
        table.add_column(heading)
    table.add_column("ratio", justify="right")
    table.add_column("95 %", justify="right")
    for ratio in ratios:
        between = "-" if ratio.low is None else f"{ratio.low:.2f} to {ratio.high:.2f}"
        label = KINDS[ratio.figure].label
        table.add_row(
            ratio.model,
            ratio.case,
            label,
            ratio.system,
            ratio.against,
            f"{ratio.ratio:.2f}",
            between,
        )
    return table
