"""The shapes of feedback, for /openapi.json, and an example of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel

from serve.api.openai.schemas import PROBLEM, Reply
from serve.api.operations.report_routes import described_report
from serve.governance.feedback.query import cursor
from serve.storage.feedback_values import MAX_ROWS


class FeedbackReply(Reply):
    """Feedback as it is kept. Its text is not sent back; times are Unix seconds."""

    object: Literal["feedback"]
    id: str
    score: float
    labels: list[str]
    has_text: bool
    created_at: int
    updated_at: int


class FeedbackDeleted(Reply):
    object: Literal["feedback.deleted"]
    id: str
    deleted: Literal[True]


class FeedbackEntry(Reply):
    """Feedback as administrators see it.

    ``text`` is null without one, and where this server has not the key that it was kept under.
    """

    request_id: str
    tenant: str
    owner: str
    key: str
    model: str
    arm: str
    score: float
    labels: list[str]
    has_text: bool
    text: str | None
    created_at: str
    updated_at: str


class FeedbackPage(Reply):
    """A page of feedback, oldest first. ``next`` asks for the next one, as ``after``."""

    object: Literal["list"]
    data: list[FeedbackEntry]
    has_more: bool
    next: str | None


class FeedbackCount(Reply):
    """Feedback on the answers of one model and one arm, which is empty without an experiment."""

    model: str
    arm: str
    feedback: int
    positive: int
    neutral: int
    negative: int
    texts: int
    mean_score: float


class FeedbackCountList(Reply):
    object: Literal["list"]
    data: list[FeedbackCount]


_ENTRY: Final[Mapping[str, Any]] = {
    "request_id": "req-4f1c0f0e5a9b4d0d8c0e2b7a6f3d1c22",
    "tenant": "research",
    "owner": "ann",
    "key": "k3x9",
    "model": "demo",
    "arm": "",
    "score": 1.0,
    "labels": ["helpful"],
    "has_text": False,
    "text": None,
    "created_at": "2026-11-29T12:00:00.000+00:00",
    "updated_at": "2026-11-29T12:00:00.000+00:00",
}
PAGE_EXAMPLE: Final[Mapping[str, Any]] = {
    "object": "list",
    "data": [_ENTRY],
    "has_more": True,
    "next": cursor((1_795_953_600_000, "req-4f1c0f0e5a9b4d0d8c0e2b7a6f3d1c22")),
}
COUNTS_EXAMPLE: Final[Mapping[str, Any]] = {
    "object": "list",
    "data": [
        {
            "model": "demo",
            "arm": "",
            "feedback": 12,
            "positive": 9,
            "neutral": 1,
            "negative": 2,
            "texts": 3,
            "mean_score": 0.583,
        }
    ],
}
_ID_PARAMETER: Final[Mapping[str, Any]] = {
    "name": "answer_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "The `id` of an answer.",
}


def of_path() -> dict[str, Any]:
    """The part of /openapi.json of the route with an answer's id in its path."""
    return {
        "tags": ["feedback"],
        "responses": {200: {"model": FeedbackDeleted}, "4XX": PROBLEM, "5XX": PROBLEM},
        "parameters": [_ID_PARAMETER],
    }


def of_report(
    shape: type[BaseModel], example: Mapping[str, Any], parameters: Mapping[str, str]
) -> dict[str, Any]:
    """The part of /openapi.json of a report's route."""
    return described_report("feedback", shape, example, parameters, most=MAX_ROWS)
