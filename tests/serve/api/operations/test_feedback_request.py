"""The body of feedback: what it may say, and each fault with its field."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from serve.api.operations.feedback_request import SHOWN_CHARS, FeedbackRequest
from serve.errors import InvalidRequest
from serve.governance.feedback.feedback import MAX_LABEL_CHARS, MAX_LABELS, MAX_TEXT_CHARS


def request(**fields):
    return FeedbackRequest(**({"id": "chatcmpl-1", "score": 1} | fields))


@pytest.mark.parametrize(
    ("score", "milli"), [(1, 1000), (-1, -1000), (0, 0), (0.333, 333), (-0.001, -1), (0.29, 290)]
)
def test_a_score_has_three_decimals(score, milli):
    assert request(score=score).feedback().score_milli == milli


def test_labels_keep_their_order_and_text_is_as_it_came():
    found = request(labels=["b", "a"], text=" two\nlines ").feedback()
    assert (found.labels, found.text) == (("b", "a"), " two\nlines ")
    assert (request().feedback().labels, request().feedback().text) == ((), None)


@pytest.mark.parametrize(
    ("fields", "param", "told"),
    [
        ({"score": 0.3333}, "score", "score is 0.3333: a number from -1 to 1"),
        ({"labels": ["a", "b\n"]}, "labels[1]", "cannot be printed"),
        ({"labels": ["a", "b", "a"]}, "labels[2]", "twice: name it once"),
    ],
)
def test_a_fault_is_told_with_its_field(fields, param, told):
    with pytest.raises(InvalidRequest) as refused:
        request(**fields).feedback()
    assert refused.value.param == param
    assert told in str(refused.value)


def test_a_long_label_is_shown_in_part():
    label = "x" * MAX_LABEL_CHARS
    with pytest.raises(InvalidRequest) as refused:
        request(labels=[label, label]).feedback()
    assert label[:SHOWN_CHARS] in str(refused.value)
    assert label[: SHOWN_CHARS + 1] not in str(refused.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"score": 1.001},
        {"score": -2},
        {"score": "1"},
        {"score": float("nan")},
        {"id": ""},
        {"labels": [""]},
        {"labels": ["x" * (MAX_LABEL_CHARS + 1)]},
        {"labels": [str(number) for number in range(MAX_LABELS + 1)]},
        {"text": "x" * (MAX_TEXT_CHARS + 1)},
        {"scores": 1},
    ],
)
def test_values_out_of_bounds_and_unknown_fields_are_refused(fields):
    with pytest.raises(ValidationError):
        request(**fields)
