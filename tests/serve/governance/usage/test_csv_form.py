"""Reports as CSV: what a spreadsheet reads of it, and that nothing in it is a formula."""

from __future__ import annotations

import csv
import io

import pytest

from serve.governance.usage.csv_form import to_csv
from serve.governance.usage.reports import UsageReport
from serve.storage.ledger_reports import Usage

FIGURES = {
    "num_requests": 1,
    "prompt_tokens": 2,
    "cached_tokens": 3,
    "completion_tokens": 4,
    "reasoning_tokens": 5,
    "cost_micros": 1_000_006,
}


def report(*groups: tuple[str, str], currency: str = "EUR") -> UsageReport:
    usages = [Usage(group=group, currency=currency, **FIGURES) for group in groups]
    return UsageReport(
        first_day="2026-11-01",
        last_day="2026-11-02",
        time_zone="UTC",
        group_by=("day", "model"),
        groups=tuple(usages),
        totals=(),
    )


def test_lines_are_as_the_standard_has_them():
    text = to_csv(report(("2026-11-01", 'a "b", c')))
    assert text == (
        "day,model,requests,prompt_tokens,cached_tokens,completion_tokens,reasoning_tokens,cost,"
        'currency\r\n2026-11-01,"a ""b"", c",1,2,3,4,5,1.000006,EUR\r\n'
    )


def test_without_prices_there_is_no_cost():
    assert to_csv(report(("2026-11-01", "a"), currency="")).endswith(",5,,\r\n")


@pytest.mark.parametrize(
    "start", ["=", "+", "-", "@", " =", "\t", "\r", "\n", "＝", "＠", "\u3000+"]
)
def test_a_name_that_would_be_a_formula_is_text(start):
    name = f"{start}HYPERLINK(1)"
    rows = list(csv.reader(io.StringIO(to_csv(report(("2026-11-01", name))), newline="")))
    assert rows[1][1] == f"'{name}"


def test_other_names_are_as_they_are():
    names = ["demo", "qwen2.5-7b", "a=b", "模型", "'x"]
    rows = list(csv.reader(io.StringIO(to_csv(report(*(("d", name) for name in names))))))
    assert [row[1] for row in rows[1:]] == names
