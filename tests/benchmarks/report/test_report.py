"""A report keeps its schema, is read back as it was, and its pages need nothing from elsewhere."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from importlib import resources
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from PIL import Image
from rich.console import Console

from benchmarks.report import html, plots
from benchmarks.report.document import Document, DocumentError, doubts
from benchmarks.report.figures import KINDS
from benchmarks.report.output import write
from benchmarks.report.steps import Steps
from benchmarks.report.table import spread, tables
from tests.benchmarks.documents import compared, document, level_row, prefill_row

SWEEP = document([level_row("poisson 1/s", 1.0), level_row("poisson 2/s", 2.0)], kind="serving")
SCHEMA = json.loads(resources.files("benchmarks.report").joinpath("schema.json").read_text("utf-8"))


@pytest.mark.parametrize("report", [compared(), SWEEP], ids=["compare", "serving"])
def test_the_json_keeps_its_schema_and_is_read_back(report: Document, tmp_path: Path) -> None:
    text = report.to_json()
    jsonschema.validate(json.loads(text), SCHEMA)
    path = tmp_path / "kept.txt"
    path.write_text(f"a table\nanother line\n{text}\n")
    again = Document.read(path)
    assert again.to_json() == text
    assert again.roofline == report.roofline


def test_another_form_breaks_the_schema() -> None:
    for name, value in (("kind", "guess"), ("rows", [{}]), ("schema", "other/1")):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(json.loads(compared().to_json()) | {name: value}, SCHEMA)


@pytest.mark.parametrize("text", ["", "{}", "[]", "no json", '{"schema": "intramural.quality/1"}'])
def test_another_file_is_refused_by_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(DocumentError, match=re.escape(str(path))):
        Document.read(path)


def test_a_report_that_lacks_a_part_is_refused(tmp_path: Path) -> None:
    fields = json.loads(compared().to_json())
    del fields["rows"]
    path = tmp_path / "cut.json"
    path.write_text(json.dumps(fields))
    with pytest.raises(DocumentError, match="not a whole report"):
        Document.read(path)


def test_the_tables_have_every_system_and_figure() -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    for table in tables(compared()):
        console.print(table)
    text = console.export_text()
    for words in ("them & co", "MBU", "MFU", "20.0 GB/s", "80.0 Gflop/s", "2.00", "1.90 to 2.10"):
        assert words in text
    assert "100 ±1%" in text


def test_spread_is_half_of_least_to_most() -> None:
    assert spread([90, 100, 120]) == pytest.approx(0.15)


@pytest.mark.parametrize("report", [compared(), SWEEP], ids=["compare", "serving"])
def test_the_page_stands_alone(report: Document) -> None:
    page = html.page(report, plots.draw(report))
    assert not re.search(r"<(script|link|img|iframe)|@import|url\((?!#)", page)
    # Names of XML forms are no addresses that a browser asks for.
    addresses = set(re.findall(r'(?:src|href)="([^"#][^"]*)"', page))
    assert addresses == set()
    assert page.count("<svg") == len(plots.draw(report)) > 1
    assert "Abacus &lt;9&gt;" in page
    assert "<none>" not in page


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


def test_the_files_are_written(tmp_path: Path) -> None:
    written = write(compared(), tmp_path / "out")
    assert [path.name for path in written] == ["compare.json", "compare.html", "compare.png"]
    assert Document.read(written[0]).ratios == compared().ratios


def test_without_matplotlib_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(plots.PlotError, match="make setup-dev"):
        plots.draw(compared())


def test_every_figure_has_a_label_a_direction_and_its_place_in_the_docs() -> None:
    page = (Path(__file__).parents[3] / "docs/benchmarks.md").read_text("utf-8")
    for name, kind in KINDS.items():
        stem = re.sub(r"_(p\d+|mean)$", "", name)
        assert f"`{stem}`" in page, f"docs/benchmarks.md does not have {stem}"
        assert kind.label
        assert kind.meaning


def test_progress_says_how_much_time_is_left() -> None:
    now = iter([0.0, 0.0, 10.0, 20.0, 30.0])
    stream = io.StringIO()
    steps = Steps(5, stream=stream, clock=lambda: next(now))
    steps.begin("one")
    steps.fewer(1)
    steps.begin("two")
    steps.begin("three")
    steps.end()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "  1 of 5  one"
    assert lines[1] == "  2 of 4  two  (0 s left)"
    assert lines[2] == "  3 of 4  three  (10 s left)"


def test_more_than_the_machine_can_do_is_doubted() -> None:
    possible, impossible = prefill_row(), prefill_row("too fast")
    samples = {"mfu": [1.2, 1.4]}
    assert doubts([possible]) == []
    (doubt,) = doubts([possible, replace(impossible, samples=samples)])
    assert "too fast" in doubt
    assert "MFU is above 1" in doubt
