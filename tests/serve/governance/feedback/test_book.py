"""The book of feedback: one's own answers alone, and texts that a database cannot read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from serve.errors import AnswerNotFound, UnsupportedField
from serve.governance.feedback.book import SHOWN_CHARS, FeedbackBook, _place
from serve.governance.feedback.feedback import Feedback
from serve.governance.principal import Principal
from serve.governance.sealing import SealingKey
from serve.storage.feedback_values import FeedbackRow

KEY, OTHER_KEY = SealingKey(b"k" * 32), SealingKey(b"o" * 32)
NOBODY: Any = None
ANN = Principal(key_id="k1", name="a key", tenant="ward", owner="ann", scopes=frozenset())


def book(key: SealingKey | None = KEY) -> FeedbackBook:
    return FeedbackBook(NOBODY, key)


def row(book: FeedbackBook, text: str | None, **changed: Any) -> FeedbackRow:
    """The row that a text of Ann's is kept in."""
    from serve.governance.feedback.book import _asker

    fields = {
        "request_id": "req-1",
        "tenant": "ward",
        "owner": "ann",
        "key_id": "k1",
        "model": "demo",
        "arm": "",
        "score_milli": 1000,
        "labels": '["a"]',
        "sealed_text": book._sealed("req-1", _asker(ANN), text),
        "created_at_ms": 1,
        "changed_at_ms": 2,
    }
    return FeedbackRow(**(fields | changed))


def test_a_text_is_readable_with_its_key_alone():
    kept = row(book(), "It was wrong.")
    assert "wrong" not in kept.sealed_text
    assert book()._stored(kept).text == "It was wrong."
    for other in (book(OTHER_KEY), book(None)):
        stored = other._stored(kept)
        assert (stored.text, stored.has_text) == (None, True)


@pytest.mark.parametrize(
    "changed",
    [{"request_id": "req-2"}, {"tenant": "other"}, {"owner": "bob"}, {"sealed_text": "not sealed"}],
)
def test_a_text_that_was_moved_to_another_row_does_not_open(changed):
    assert book()._stored(replace(row(book(), "x"), **changed)).text is None


def test_no_text_is_none():
    stored = book()._stored(row(book(), None))
    assert (stored.text, stored.has_text, stored.labels) == (None, False, ["a"])


def test_no_two_rows_read_alike():
    assert _place("a", "bc") != _place("ab", "c")
    assert _place("a", "", "b") != _place("a", "b", "")


async def test_a_text_without_a_key_is_refused_before_anything_is_written():
    with pytest.raises(UnsupportedField, match="no key to encrypt") as refused:
        await book(None).give(ANN, "req-" + "0" * 32, Feedback(score_milli=1000, text="x"))
    assert refused.value.param == "text"


@pytest.mark.parametrize("answer", ["nonsense", "req-", "x" * 500])
async def test_an_id_of_nobody_is_refused_without_asking_the_database(answer):
    with pytest.raises(AnswerNotFound) as refused:
        await book().take_back(ANN, answer)
    assert refused.value.param == "id"
    assert "x" * (SHOWN_CHARS + 1) not in str(refused.value)
