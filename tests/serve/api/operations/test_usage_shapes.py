"""The examples of reports are of their shapes."""

from __future__ import annotations

import csv
import io

from serve.api.operations.usage_shapes import CSV_EXAMPLE, EXAMPLE, UsagePage
from serve.governance.usage.csv_form import FIGURES


def test_the_example_is_a_page():
    page = UsagePage.model_validate(EXAMPLE)
    assert page.from_ == "2026-11-01"
    assert page.data[0].cost == page.totals.costs[0]


def test_both_examples_say_the_same():
    header, row = csv.reader(io.StringIO(CSV_EXAMPLE, newline=""))
    assert header == [*EXAMPLE["group_by"], *FIGURES]
    told = dict(zip(header, row, strict=True))
    data = EXAMPLE["data"][0]
    assert told["cost"] == data["cost"]["amount"]
    assert {name: int(told[name]) for name in FIGURES[:5]} == {n: data[n] for n in FIGURES[:5]}
