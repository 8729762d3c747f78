"""Records as rows of CSV (RFC 4180), safe to open in a spreadsheet (usage/csv_form.py says why)."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any, Final

from serve.governance.audit.reading.joined import Entry
from serve.governance.usage.csv_form import safe_text

COLUMNS: Final = (
    *("log", "index", "at", "type", "id", "tenant", "owner", "key", "client", "model", "route"),
    *("outcome", "finish", "error", "status", "prompt_tokens", "completion_tokens", "verdicts"),
    "details",
)


def header() -> str:
    """The first row."""
    return _row(COLUMNS)


def row(log: str, entry: Entry) -> str:
    """An entry's row; what it does not have is empty."""
    record, begin = entry.record, entry.begin or {}
    tokens = record.get("tokens")
    tokens = tokens if isinstance(tokens, dict) else {}
    verdicts = record.get("verdicts")
    values = (
        *(log, entry.index, entry.at, entry.kind, record.get("id")),
        *(entry.part("who", name) for name in ("tenant", "owner", "key")),
        record.get("client", begin.get("client")),
        entry.part("model", "name"),
        entry.part("call", "route"),
        *(record.get(name) for name in ("outcome", "finish", "error", "status")),
        *(tokens.get(name) for name in ("prompt", "completion")),
        " ".join(map(str, verdicts)) if isinstance(verdicts, list) else None,
        " ".join(entry.details),
    )
    return _row(values)


def _row(values: Sequence[Any]) -> str:
    out = io.StringIO()
    cells = ["" if value is None else value for value in values]
    csv.writer(out, lineterminator="\r\n").writerow(
        [safe_text(cell) if isinstance(cell, str) else cell for cell in cells]
    )
    return out.getvalue()
