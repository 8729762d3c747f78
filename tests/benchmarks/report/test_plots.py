"""Charts are whole, ours are blue, and without matplotlib it says what to do."""

from __future__ import annotations

import io
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from benchmarks.report import plots
from benchmarks.report.document import Document
from tests.benchmarks.documents import compared, document, level_row

SWEEP = document([level_row("poisson 1/s", 1.0), level_row("poisson 2/s", 2.0)], kind="serving")


@pytest.mark.parametrize("report", [compared(), SWEEP], ids=["compare", "serving"])
def test_charts_are_whole(report: Document) -> None:
    for picture in plots.draw(report).values():
        ET.fromstring(picture)
    with Image.open(io.BytesIO(plots.overview(report))) as image:
        assert image.format == "PNG"
        assert image.width > 1000
        assert len(image.convert("RGB").getcolors(1 << 20) or []) > 20  # there is a drawing


def test_ours_are_blue() -> None:
    tints = plots.colours(["intramural vllm", "a", "b", "intramural transformers"])
    assert tints["intramural vllm"] == "#0b3d91"
    assert len(set(tints.values())) == 4


def test_without_matplotlib_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(plots.PlotError, match="make setup-dev"):
        plots.draw(compared())
