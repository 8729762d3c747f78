"""/v1/feedback, by whoever got an answer; /admin/feedback, the list and the counts of all."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final, TypeVar
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from serve.api.http.middleware import call_of
from serve.api.http.strict_json import parse_object
from serve.api.http.turnstile import Turnstile
from serve.api.openai.parsing import parse_body
from serve.api.openai.schemas import JsonReply, described
from serve.api.operations.feedback_request import NO_FIELDS, FeedbackRequest
from serve.api.operations.feedback_shapes import (
    COUNTS_EXAMPLE,
    PAGE_EXAMPLE,
    FeedbackCountList,
    FeedbackPage,
    FeedbackReply,
    of_path,
    of_report,
)
from serve.api.policy import ADMIN, INFER, Policy
from serve.api.routes import RouteSpec, ServerState
from serve.errors import FeedbackUnavailable, InternalError, NoLedger
from serve.governance.feedback.book import FeedbackBook
from serve.governance.feedback.csv_form import counts_csv, counts_json, entries_csv
from serve.governance.feedback.feedback import MILLI, StoredFeedback, request_id_of
from serve.governance.feedback.query import FILTERS, PAGING, cursor, parse_query
from serve.governance.principal import Principal
from serve.governance.usage.csv_form import MEDIA_TYPE
from serve.storage.counting.counters import StoreUnavailable

T = TypeVar("T")

PATH: Final = "/v1/feedback"
GIVING: Final = Policy(scope="infer", max_body_bytes=64 << 10)
MAX_RUNNING: Final = 8
MAX_WAITING: Final = 56
RETRY_AFTER_S: Final = 5
_EXAMPLE: Final = {
    "id": "chatcmpl-4f1c0f0e5a9b4d0d8c0e2b7a6f3d1c22",
    "score": 1,
    "labels": ["helpful"],
}


def routes(state: ServerState) -> tuple[RouteSpec, ...]:
    """Giving feedback and taking it back, and both reports."""
    turnstile = Turnstile(max_running=MAX_RUNNING, max_waiting=MAX_WAITING)
    return (*_own(state, turnstile), *_reports(state, turnstile))


def _own(state: ServerState, turnstile: Turnstile) -> tuple[RouteSpec, ...]:
    """The routes of whoever got an answer."""

    async def give_feedback(request: Request) -> Response:
        """Say what an answer was worth. A second time replaces the first.

        Raises:
            RequestError: see docs/errors.md.
        """
        body = parse_body(FeedbackRequest, parse_object(await request.body()), NO_FIELDS)
        given, book = body.feedback(), _book(state)
        async with turnstile.passed():
            stored, _is_first = await _done(book.give(_caller(request), body.id, given))
        call_of(request.scope).details |= {
            "answer": request_id_of(body.id) or "",
            "score_milli": stored.score_milli,
            "labels": len(stored.labels),
            "chars": len(given.text or ""),
        }
        return JsonReply(_told(body.id, stored))

    async def delete_feedback(request: Request) -> Response:
        """Take back the feedback on an answer; where there is none, nothing is done.

        Raises:
            RequestError: see docs/errors.md.
        """
        answer_id, book = request.path_params["answer_id"], _book(state)
        async with turnstile.passed():
            await _done(book.take_back(_caller(request), answer_id))
        call_of(request.scope).details["answer"] = request_id_of(answer_id) or ""
        return JsonReply({"object": "feedback.deleted", "id": answer_id, "deleted": True})

    giving = {"tags": ["feedback"], "responses": described(FeedbackReply)}
    return (
        RouteSpec(
            path=PATH,
            handler=give_feedback,
            policy=GIVING,
            method="POST",
            openapi={**giving, "body": FeedbackRequest, "example": _EXAMPLE},
        ),
        RouteSpec(
            path=PATH + "/{answer_id}",
            handler=delete_feedback,
            policy=INFER,
            method="DELETE",
            openapi=of_path(),
        ),
    )


def _reports(state: ServerState, turnstile: Turnstile) -> tuple[RouteSpec, ...]:
    """The routes of administrators."""

    async def list_feedback(request: Request) -> Response:
        """List everybody's feedback, oldest first. Needs the scope admin.

        Raises:
            RequestError: see docs/errors.md.
        """
        query = parse_query(request.query_params.multi_items(), {**FILTERS, **PAGING})
        async with turnstile.passed():
            page = _book(state).page(query.chosen, limit=query.limit, after=query.after)
            entries, last = await _done(page)
        following = None if last is None else cursor(last)
        if query.is_csv:
            return _csv(request, "feedback", entries_csv(entries), following)
        data = [entry.as_json() for entry in entries]
        has_more = following is not None
        return JsonReply({"object": "list", "data": data, "has_more": has_more, "next": following})

    async def count_feedback(request: Request) -> Response:
        """Count everybody's feedback by model and experiment arm. Needs the scope admin.

        Raises:
            RequestError: see docs/errors.md.
        """
        query = parse_query(request.query_params.multi_items(), FILTERS)
        async with turnstile.passed():
            counts = await _done(_book(state).counts(query.chosen))
        if query.is_csv:
            return _csv(request, "feedback-counts", counts_csv(counts), None)
        return JsonReply({"object": "list", "data": [counts_json(one) for one in counts]})

    return (
        RouteSpec(
            path="/admin/feedback",
            handler=list_feedback,
            policy=ADMIN,
            openapi=of_report(FeedbackPage, PAGE_EXAMPLE, {**FILTERS, **PAGING}),
        ),
        RouteSpec(
            path="/admin/feedback/counts",
            handler=count_feedback,
            policy=ADMIN,
            openapi=of_report(FeedbackCountList, COUNTS_EXAMPLE, FILTERS),
        ),
    )


def _caller(request: Request) -> Principal:
    principal = call_of(request.scope).principal
    if principal is None:
        raise InternalError("The request has no principal.")
    return principal


def _book(state: ServerState) -> FeedbackBook:
    if state.feedback is None:
        raise NoLedger(
            "This server keeps no ledger, so it knows no answer to take feedback on. Its operator "
            "starts one with --usage-ledger."
        )
    return state.feedback


async def _done(work: Awaitable[T]) -> T:
    """The result. Raises FeedbackUnavailable where the database does not answer."""
    try:
        return await work
    except StoreUnavailable:
        raise FeedbackUnavailable(
            "The database of feedback does not answer. Nothing is lost by sending this again, "
            "after the time in Retry-After.",
            retry_after_s=RETRY_AFTER_S,
        ) from None


def _told(answer_id: str, stored: StoredFeedback) -> dict[str, object]:
    return {
        "object": "feedback",
        "id": answer_id,
        "score": stored.score_milli / MILLI,
        "labels": list(stored.labels),
        "has_text": stored.has_text,
        "created_at": stored.created_at_ms // 1000,
        "updated_at": stored.changed_at_ms // 1000,
    }


def _csv(request: Request, name: str, text: str, following: str | None) -> Response:
    headers = {"content-disposition": f'attachment; filename="{name}.csv"'}
    if following is not None:
        asked = [pair for pair in request.query_params.multi_items() if pair[0] != "after"]
        query = urlencode([*asked, ("after", following)])
        headers["link"] = f'<{request.url.path}?{query}>; rel="next"'  # RFC 8288
    return Response(text, media_type=MEDIA_TYPE, headers=headers)
