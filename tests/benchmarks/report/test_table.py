"""The tables of a report have every system and figure."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from benchmarks.report.table import spread, tables
from tests.benchmarks.documents import compared


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
