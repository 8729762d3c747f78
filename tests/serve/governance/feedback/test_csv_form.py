"""Feedback as CSV: no formula, and the same figures as JSON."""

from __future__ import annotations

import csv
import io

from serve.governance.feedback.csv_form import counts_csv, counts_json, entries_csv
from serve.governance.feedback.feedback import StoredFeedback
from serve.storage.feedback_values import FeedbackCounts

ENTRY = StoredFeedback(
    request_id="req-1", tenant="=t", owner="o", key_id="k", model="m", arm="", score_milli=-250,
    labels=("a", "@b"), has_text=True, text='say "no",\nplease', created_at_ms=0, changed_at_ms=1,
)  # fmt: skip
COUNTS = FeedbackCounts(
    model="m", arm="a", num_all=3, num_positive=1, num_negative=2, num_texts=0, sum_milli=-1000
)


def test_entries() -> None:
    header, row = csv.reader(io.StringIO(entries_csv([ENTRY])))
    told = dict(zip(header, row, strict=True))
    assert (told["tenant"], told["score"], told["labels"]) == ("'=t", "-0.25", "a;@b")
    assert told["text"] == 'say "no",\nplease'
    assert told.keys() == ENTRY.as_json().keys()


def test_counts() -> None:
    header, row = csv.reader(io.StringIO(counts_csv([COUNTS])))
    assert dict(zip(header, row, strict=True)) == {
        name: str(value) for name, value in counts_json(COUNTS).items()
    }
    assert counts_json(COUNTS)["mean_score"] == -0.333
