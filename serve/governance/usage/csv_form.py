"""A report of usage as CSV (RFC 4180), safe to open in a spreadsheet.

Spreadsheets take a cell that begins with ``=``, ``+``, ``-`` or ``@`` for a formula, and a formula
can fetch and send (OWASP, CSV injection). Such a name, also behind white space or in full width,
gets an apostrophe before it: they show it as text. Numbers never begin so.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Final

from serve.governance.usage.reports import UsageReport, decimal

MEDIA_TYPE: Final = "text/csv; charset=utf-8; header=present"
FIGURES: Final = (
    "requests",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "cost",
    "currency",
)
_FORMULA: Final = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def to_csv(report: UsageReport) -> str:
    """A header row, and a row for each group of the report's page; lines end with CR LF."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([*report.group_by, *FIGURES])
    for usage in report.groups:
        writer.writerow(
            [
                *_texts(usage.group),
                usage.num_requests,
                usage.prompt_tokens,
                usage.cached_tokens,
                usage.completion_tokens,
                usage.reasoning_tokens,
                decimal(usage.cost_micros) if usage.currency else "",
                *_texts([usage.currency]),
            ]
        )
    return out.getvalue()


def _texts(values: Iterable[str]) -> list[str]:
    return [safe_text(value) for value in values]


def safe_text(value: str) -> str:
    """A cell's text, which no spreadsheet takes for a formula."""
    is_formula = value.lstrip().startswith(_FORMULA) or value.startswith(("\t", "\r", "\n"))
    return f"'{value}" if is_formula else value
