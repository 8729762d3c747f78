"""Feedback as CSV (RFC 4180), safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from serve.governance.feedback.feedback import MILLI, StoredFeedback
from serve.governance.usage.csv_form import safe_text
from serve.storage.feedback_values import FeedbackCounts

COLUMNS: Final = (
    *("created_at", "updated_at", "request_id", "tenant", "owner", "key", "model", "arm"),
    *("score", "labels", "has_text", "text"),
)


def entries_csv(entries: Iterable[StoredFeedback]) -> str:
    """A header row, and a row for each; labels are separated by semicolons."""
    return _csv(COLUMNS, (_cells(entry.as_json()) for entry in entries))


def counts_csv(counts: Iterable[FeedbackCounts]) -> str:
    """A header row, and a row for each model and arm."""
    names = ("model", "arm", "feedback", "positive", "neutral", "negative", "texts", "mean_score")
    told = map(counts_json, counts)
    return _csv(names, ([_cell(row[name]) for name in names] for row in told))


def counts_json(counts: FeedbackCounts) -> dict[str, Any]:
    """Counts as the route answers them; the mean has three decimals."""
    return {
        "model": counts.model,
        "arm": counts.arm,
        "feedback": counts.num_all,
        "positive": counts.num_positive,
        "neutral": counts.num_all - counts.num_positive - counts.num_negative,
        "negative": counts.num_negative,
        "texts": counts.num_texts,
        "mean_score": round(counts.sum_milli / counts.num_all / MILLI, 3),
    }


def _cells(entry: Mapping[str, Any]) -> Sequence[Any]:
    told = {**entry, "labels": ";".join(entry["labels"]), "text": entry["text"] or ""}
    return [_cell(told[name]) for name in COLUMNS]


def _cell(value: Any) -> Any:
    return safe_text(value) if isinstance(value, str) else value


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()
