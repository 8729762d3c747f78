"""The examples of feedback are of their shapes, and its routes are described with them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from serve.api.operations import feedback_shapes as shapes
from serve.storage.feedback_values import MAX_ROWS


def test_the_examples_are_of_their_shapes():
    page = shapes.FeedbackPage.model_validate(shapes.PAGE_EXAMPLE)
    assert page.data[0].request_id in str(shapes.PAGE_EXAMPLE["data"])
    assert page.has_more
    assert page.next
    counted = shapes.FeedbackCountList.model_validate(shapes.COUNTS_EXAMPLE).data[0]
    assert counted.positive + counted.neutral + counted.negative == counted.feedback
    assert counted.mean_score == pytest.approx(
        (counted.positive - counted.negative) / counted.feedback, abs=1e-3
    )


def test_feedback_that_is_kept_has_no_text():
    kept = {"object": "feedback", "id": "r", "score": 1.0, "labels": [], "has_text": True}
    reply = shapes.FeedbackReply(**kept, created_at=1, updated_at=2)
    assert "text" not in reply.model_dump()


def test_what_is_deleted_is_never_told_to_be_there():
    with pytest.raises(ValidationError):
        shapes.FeedbackDeleted(object="feedback.deleted", id="r", deleted=False)


def test_a_route_with_an_id_says_so():
    part = shapes.of_path()
    (parameter,) = part["parameters"]
    assert (parameter["name"], parameter["in"], parameter["required"]) == (
        "answer_id",
        "path",
        True,
    )
    assert part["responses"][200]["model"] is shapes.FeedbackDeleted


def test_a_report_s_limit_is_the_store_s():
    part = shapes.of_report(shapes.FeedbackPage, shapes.PAGE_EXAMPLE, {"limit": "rows"})
    assert part["tags"] == ["feedback"]
    assert part["parameters"][0]["schema"]["maximum"] == MAX_ROWS
