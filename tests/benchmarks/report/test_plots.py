"""Charts are whole, ours are blue, and without matplotlib it says what to do."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from benchmarks.report import chart_style, plots
from benchmarks.report.document import Document
from tests.benchmarks.documents import (
    compared,
    decode_row,
    document,
    level_row,
    prefill_row,
)

SWEEP = document([level_row("poisson 1/s", 1.0), level_row("poisson 2/s", 2.0)], kind="serving")


@pytest.mark.parametrize("report", [compared(), SWEEP], ids=["compare", "serving"])
def test_charts_are_whole(report: Document) -> None:
    for _, picture in plots.draw(report):
        ET.fromstring(picture)
    with Image.open(io.BytesIO(plots.overview(report))) as image:
        assert image.format == "PNG"
        assert image.width > 1000
        assert len(image.convert("RGB").getcolors(1 << 20) or []) > 20  # there is a drawing


def many() -> Document:
    """Fourteen systems with three cases, of two models."""
    rows = [
        replace(
            decode_row(system, 100.0 + number), model=model, case=f"decode {case} x 32 after 64"
        )
        for model in ("demo", "other")
        for number, system in enumerate(SYSTEMS)
        for case in (1, 8, 32)
    ]
    return document([*rows, *(prefill_row(system) for system in SYSTEMS)])


SYSTEMS = [*(f"intramural {n}" for n in range(6)), *(f"other {n}" for n in range(8))]


def two_servers() -> Document:
    rows = [replace(row, system=system) for row in SWEEP.rows for system in ("a", "b")]
    return replace(SWEEP, rows=rows)


def drawn(report: Document) -> list[tuple[str, Figure]]:
    """Each chart as it is saved."""
    figures = []
    for title, chart in plots._charts(report):
        figure = Figure(figsize=(plots._width(report), plots._HEIGHT), layout="constrained")
        chart(figure.add_subplot())
        figure.draw_without_rendering()
        figures.append((title, figure))
    return figures


REPORTS = {"compare": compared(), "serving": SWEEP, "many": many(), "two": two_servers()}


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_text_can_be_read_and_no_legend_covers_data(report: Document) -> None:
    for title, figure in drawn(report):
        texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
        assert min(text.get_fontsize() for text in texts) >= 9
        assert not any("$" in text.get_text() for text in texts), "a power is smaller than 9 pt"
        (axes,) = figure.axes
        legend = axes.get_legend().get_window_extent()
        assert not legend.overlaps(axes.get_window_extent()), title
        assert figure.bbox.contains(*legend.get_points()[0]), title
        assert figure.bbox.contains(*legend.get_points()[1]), title


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_no_two_charts_have_one_title(report: Document) -> None:
    titles = [title for title, _ in plots._charts(report)]
    assert len(set(titles)) == len(titles) > 1


def test_every_system_has_its_bars_and_a_colour_of_its_own() -> None:
    bars = [figure for title, figure in drawn(many()) if title.endswith("decode")]
    assert len(bars) == 2
    for figure in bars:
        (axes,) = figure.axes
        named = [text.get_text() for text in axes.get_legend().get_texts()]
        assert named == SYSTEMS
        heights = [bar.get_height() for bar in axes.patches if bar.get_height() > 0]
        assert len(heights) == 3 * len(SYSTEMS)
        assert len({bar.get_facecolor() for bar in axes.patches}) == len(SYSTEMS)
        labels = [text.get_window_extent() for text in axes.texts]
        assert not any(a.overlaps(b) for a, b in pairwise(labels)), "shares cover each other"


def test_a_system_that_comes_first_without_a_figure_hides_no_other() -> None:
    failed = replace(decode_row("intramural 0"), samples={"itl_ms_p50": [1.0]})
    assert list(plots._charts(document([failed, decode_row("other")])))


def test_ours_are_blue() -> None:
    tints = chart_style.tints(["intramural vllm", "a", "b", "intramural transformers"])
    assert tints["intramural vllm"] == "#0b3d91"
    assert len(set(tints.values())) == 4


def test_without_matplotlib_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(plots.PlotError, match="make setup"):
        plots.draw(compared())
