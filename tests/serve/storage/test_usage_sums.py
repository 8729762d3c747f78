"""Sums of the ledger: each dimension has a column."""

from __future__ import annotations

from serve.storage import ledger_reports
from serve.storage.usage_sums import DIMENSIONS


def test_each_dimension_has_a_column() -> None:
    assert tuple(ledger_reports._COLUMNS) == DIMENSIONS
