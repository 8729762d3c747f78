"""A question about feedback is read as it was written, and a page's cursor leads on."""

from __future__ import annotations

import pytest

from serve.errors import InvalidRequest
from serve.governance.feedback.query import FILTERS, PAGING, cursor, parse_query
from serve.storage.feedback_values import FeedbackFilter

ALL = {**FILTERS, **PAGING}


def test_a_whole_question() -> None:
    pairs = {
        "from": "2026-11-01", "to": "2026-11-01", "model": "m", "arm": "a", "tenant": "t",
        "owner": "o", "format": "csv", "limit": "5", "after": cursor((7, "req-1")),
    }  # fmt: skip
    query = parse_query(pairs.items(), ALL)
    day_ms = 1_793_491_200_000
    assert query.chosen == FeedbackFilter(
        tenant="t", owner="o", model="m", arm="a", since_ms=day_ms, until_ms=day_ms + 86_400_000
    )
    assert (query.is_csv, query.limit, query.after) == (True, 5, (7, "req-1"))
    assert parse_query([], ALL).chosen == FeedbackFilter()


@pytest.mark.parametrize(
    "pairs",
    [
        [("after", "x")],
        [("after", cursor((True, "r")))],
        [("after", cursor((1, "\0")))],
        [("after", cursor((2**63, "r")))],
        [("from", "2026-13-01")],
        [("from", "2026-11-02"), ("to", "2026-11-01")],
        [("limit", "1001")],
        [("model", "")],
        [("model", "a\n")],
        [("arm", "a"), ("arm", "b")],
        [("\x00", "a")],
    ],
)
def test_what_cannot_be_asked(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_query(pairs, ALL)
    assert refused.value.message.isprintable()


def test_counts_have_no_pages() -> None:
    with pytest.raises(InvalidRequest, match=r"limit.* is no parameter"):
        parse_query([("limit", "1")], FILTERS)
