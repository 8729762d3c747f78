"""The tables of a report have every system and figure."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from benchmarks.report.table import cell, groups, shown, spread, tables
from tests.benchmarks.documents import compared, level_row, prefill_row


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


def test_rows_with_other_figures_have_tables_of_their_own() -> None:
    titles = [(title, len(rows)) for title, rows in groups(compared().rows)]
    assert titles == [("demo", 2), ("demo", 2)]
    assert groups([]) == []


def test_refusals_and_errors_have_columns_only_where_there_are_any() -> None:
    calm = level_row("poisson 1/s", 1.0)
    assert not {"refusal_share", "error_share"} & set(shown([calm]))
    busy = replace(calm, samples={**calm.samples, "refusal_share": [0.25]})
    assert [name for name in shown([calm, busy]) if name.endswith("_share")] == ["refusal_share"]


@pytest.mark.parametrize(
    ("samples", "text"),
    [
        ([], "-"),
        ([2.0], "2.00"),
        ([0.0, 0.0], "0.00"),
        ([90.0, 100.0, 120.0], "100 ±15%"),
    ],
)
def test_a_cell_says_how_far_its_samples_lie_apart(samples, text) -> None:
    row = replace(prefill_row(), samples={"prefill_tokens_s": samples})
    assert cell(row, "prefill_tokens_s") == text
