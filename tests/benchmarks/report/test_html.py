"""The page needs nothing from elsewhere."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from benchmarks.report import html, plots
from benchmarks.report.document import Document
from tests.benchmarks.documents import compared, document, level_row

SWEEP = document([level_row("poisson 1/s", 1.0), level_row("poisson 2/s", 2.0)], kind="serving")


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


def test_what_comes_from_elsewhere_is_escaped() -> None:
    report = replace(compared(), command='x "<script>"', settings={"url": "<b>"})
    page = html.page(report, [('a "title"', "<svg/>"), ('a "title"', "<svg/>")])
    assert "<script>" not in page
    assert "x &quot;&lt;script&gt;&quot;" in page
    assert "&lt;b&gt;" in page
    assert page.count('aria-label="a &quot;title&quot;"') == 2, "none takes another's place"


def test_a_report_without_rows_is_a_page_too() -> None:
    page = html.page(document([]), [])
    assert page.endswith("</html>\n")
    assert "What the figures mean" in page


def test_a_ratio_without_an_interval_has_a_dash() -> None:
    ratio = replace(compared().ratios[0], low=None, high=None)
    page = html.page(replace(compared(), ratios=(ratio,)), [])
    assert "<td>2.00</td><td>-</td>" in page
