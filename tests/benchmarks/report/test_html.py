"""The page needs nothing from elsewhere."""

from __future__ import annotations

import re

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
