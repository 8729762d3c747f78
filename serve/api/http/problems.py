"""Refusals become answers: which error an exception is, and how it is sent.

The body is the dialect's own. The headers are those that clients read before they retry:
``retry-after-ms`` (with jitter, so that refused clients do not come back as one), ``retry-after``
(the standard's, whole seconds) and ``x-should-retry``.
"""

from __future__ import annotations

import logging
import random
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.types import Send

from serve.errors import (
    InternalError,
    InvalidApiKey,
    MethodNotAllowed,
    RateLimited,
    RequestError,
    RouteNotFound,
)

logger = logging.getLogger(__name__)

JITTER: Final = (0.75, 1.25)
LATER: Final = (1.0, 1.25)
"""The same where the time is known from which there is room: sooner there is none."""

Problem = Callable[[RequestError], bytes]
"""An error as the body of an answer, in the envelope of the API that was asked."""


def headers_of(error: RequestError) -> list[tuple[bytes, bytes]]:
    """The headers that an error's answer carries beside its content type."""
    headers = []
    if error.retry_after_s is not None:
        wait_ms, jitter = error.retry_after_s * 1000, JITTER
        if isinstance(error, RateLimited) and error.wait_ms is not None:
            wait_ms, jitter = max(1, error.wait_ms), LATER
        wait_ms = round(wait_ms * random.uniform(*jitter))
        headers += [
            (b"retry-after", str(error.retry_after_s).encode()),
            (b"retry-after-ms", str(wait_ms).encode()),
            (b"x-should-retry", b"true"),
        ]
    elif error.is_final:
        headers.append((b"x-should-retry", b"false"))
    if isinstance(error, InvalidApiKey):
        headers.append((b"www-authenticate", b"Bearer"))
    return headers


async def send_problem(
    error: RequestError, problem: Problem, send: Send, extra: Mapping[str, str] | None = None
) -> None:
    """Send an error as the whole answer."""
    body = problem(error)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *headers_of(error),
        *((name.lower().encode(), value.encode()) for name, value in (extra or {}).items()),
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def error_of(exception: Exception, request_id: str) -> RequestError:
    """Our error for an exception: its nearest ancestor's entry in the table below."""
    for ancestor in type(exception).__mro__:
        if ancestor in _ANSWERS:
            return _ANSWERS[ancestor](exception, request_id)
    raise exception  # not reached: Exception is in the table


def allowed_methods(exception: HTTPException) -> str:
    """The methods that a 405 allows (RFC 9110, section 10.2.1): HEAD wherever there is GET."""
    methods = set(((exception.headers or {}).get("Allow") or "another").split(", "))
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))


def _from_ours(exception: Any, request_id: str) -> RequestError:  # noqa: ARG001
    error: RequestError = exception
    return error


def _from_router(exception: Any, request_id: str) -> RequestError:
    if exception.status_code == RouteNotFound.status:
        return RouteNotFound("No such route. /openapi.json lists those that there are.")
    if exception.status_code == MethodNotAllowed.status:
        allowed = allowed_methods(exception)
        return MethodNotAllowed(f"This route does not take this method. Allowed: {allowed}.")
    return _from_defect(exception, request_id)


def _from_defect(exception: Exception, request_id: str) -> RequestError:
    """Log where it happened and its type. Its text may hold a prompt, so it is left out."""
    frames = traceback.extract_tb(exception.__traceback__)
    where = " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(frames))
    logger.error("request %s: %s at %s", request_id, type(exception).__name__, where)
    return InternalError(
        f"The server failed on this request: a defect of ours. Its log has {request_id}."
    )


_ANSWERS: dict[type, Callable[[Any, str], RequestError]] = {
    RequestError: _from_ours,
    HTTPException: _from_router,
    Exception: _from_defect,
}
