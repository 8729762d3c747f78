"""Middleware: what every request passes before a route sees it. Pure ASGI, no buffering.

::

    RecordCall     a call of the service, response headers        every request
    CrossOrigin    which web pages may read the answer            (cross_origin.py)
    AnswerErrors   exceptions become answers                      (problems.py)
    BoundHeaders   number and size of headers
    GiveMemoryBack what a large body leaves behind                (memory.py)
    HeadAsGet      HEAD is GET without a body
        router     routes whose policy is public, and for all else:
    Authenticate   the caller, and what the route's policy wants      (guards.py)
    BoundBody      content type, encoding, size, pace
        routes

Request ids are ours: in ``x-request-id`` of each answer, in the log and in the ids of completions.
An id that the client sends (``x-client-request-id``, OpenAI's name, or ``x-request-id``) comes back
as ``x-client-request-id`` if it is 1 to 64 of ``A-Za-z0-9._-``; it is used for nothing else.

``x-intramural-arm`` names the experiment arm that answered, to callers that are known. A server
that is about to end closes each connection after its next answer: the client's next one finds
another replica.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.api.http.problems import Problem, allowed_methods, error_of, send_problem
from serve.errors import (
    Draining,
    HeadersTooLarge,
)
from serve.service.call import Call
from serve.service.requests import Service

CALL_KEY: Final = "intramural.call"
SEND_KEY: Final = "intramural.send"
MAX_HEADERS = 100

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_CLIENT_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")

Middleware = Callable[[ASGIApp], ASGIApp]


def wrapped(app: ASGIApp, middleware: Sequence[Middleware]) -> ASGIApp:
    """The application behind the middleware, of which the first is the outermost."""
    for wrap in reversed(middleware):
        app = wrap(app)
    return app


def call_of(scope: Scope) -> Call:
    """The call that RecordCall opened for this request."""
    return cast("Call", scope[CALL_KEY])


def header_values(scope: Scope, name: bytes) -> list[bytes]:
    """The values of all headers of that (lower-case) name."""
    return [value for key, value in scope["headers"] if key == name]


class RecordCall:
    """Opens a call of the service for each request, and marks its answer."""

    def __init__(self, app: ASGIApp, service: Service, arm: str | None) -> None:
        self._app = app
        self._service = service
        self._arm = arm.encode() if arm is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _refuse_other_protocols(scope, receive, send)
            return
        method = scope["method"]
        # Logs and metrics label with it.
        with self._service.call(method=method if method in _METHODS else "OTHER") as call:
            record = call.record
            record.client = _address(scope)
            scope[CALL_KEY] = call
            scope[SEND_KEY] = send
            headers = [
                (b"x-request-id", record.request_id.encode()),
                (b"x-content-type-options", b"nosniff"),
                *_client_request_id(scope),
            ]

            async def marked_send(message: Message) -> None:
                if message["type"] == "http.response.start":
                    record.status = message["status"]
                    if self._arm is not None and call.principal is not None:
                        headers.append((b"x-intramural-arm", self._arm))
                    if self._service.is_leaving:
                        headers.append((b"connection", b"close"))
                    headers.extend(_encoded(call.answer_headers))
                    own = message.get("headers", ())
                    if not any(name == b"cache-control" for name, _ in own):
                        headers.append((b"cache-control", b"no-store"))
                    message["headers"] = [*own, *headers]
                await send(message)

            try:
                await self._app(scope, receive, marked_send)
            finally:
                if isinstance(route := scope.get("route"), Route):
                    record.route = route.path_format


class AnswerErrors:
    """Answers whatever the application raises. Nothing but cancellation passes it.

    An exception after the response's start cannot be answered any more: it is logged, and the
    server closes the connection because the body is not complete, which tells the client.

    Args:
        problems: the envelope of each path that has one of its own.
        problem: the envelope of all others.
    """

    def __init__(self, app: ASGIApp, problems: Mapping[str, Problem], problem: Problem) -> None:
        self._app = app
        self._problems = problems
        self._problem = problem

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = call_of(scope)
        has_started = False

        async def watched_send(message: Message) -> None:
            nonlocal has_started
            has_started = has_started or message["type"] == "http.response.start"
            await send(message)

        problem = self._problems.get(scope["path"], self._problem)
        try:
            await self._app(scope, receive, watched_send)
        except ClientDisconnect:
            call.record.is_disconnected = True
        except asyncio.CancelledError:
            if not has_started:
                stopped = Draining("The server stopped before it had an answer. Ask again.")
                call.failed(stopped)
                await send_problem(stopped, problem, send)
            raise
        except Exception as exception:  # noqa: BLE001  the one answer to defects: 500, no detail
            await _answer(exception, call, None if has_started else send, problem)


async def _answer(exception: Exception, call: Call, send: Send | None, problem: Problem) -> None:
    """Record an exception, and send its answer where one can still be sent.

    In a frame of its own: a name for the error in a frame that the error passed would be a circle
    through all those frames, and a body of a megabyte would stay until the collector finds it.
    """
    error = error_of(exception, call.record.request_id)
    call.failed(error)
    if send is not None:
        await send_problem(error, problem, send, _extra_headers(exception))


class BoundHeaders:
    """Bounds the headers, of which the HTTP parser takes any number if they arrive at once."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = scope["headers"]
        if len(headers) > MAX_HEADERS:
            raise HeadersTooLarge(f"The request has {len(headers)} headers: at most {MAX_HEADERS}.")
        num_bytes = len(scope.get("raw_path") or b"") + len(scope.get("query_string", b""))
        num_bytes += sum(len(name) + len(value) for name, value in headers)
        if num_bytes > self._max_bytes:
            raise HeadersTooLarge(
                f"The request line and headers have {num_bytes} bytes: at most {self._max_bytes}."
            )
        await self._app(scope, receive, send)


class HeadAsGet:
    """Answers HEAD as GET, with the same headers and no body (RFC 9110, section 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        as_get = {**scope, "method": "GET"}
        try:
            await self._app(as_get, receive, send_head)
        finally:
            if "route" in as_get:  # RecordCall names it
                scope["route"] = as_get["route"]


def _address(scope: Scope) -> str | None:
    """The address that the connection came from; behind a proxy the proxy's."""
    client = scope.get("client")
    return str(client[0])[:64] if client and client[0] else None


def _extra_headers(exception: Exception) -> Mapping[str, str] | None:
    """The headers of a router's refusal."""
    if not isinstance(exception, HTTPException):
        return None
    headers = dict(exception.headers or {})
    return headers | {"Allow": allowed_methods(exception)} if "Allow" in headers else headers


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def _client_request_id(scope: Scope) -> list[tuple[bytes, bytes]]:
    for name in (b"x-client-request-id", b"x-request-id"):
        for value in header_values(scope, name):
            if _CLIENT_ID.fullmatch(value):
                return [(b"x-client-request-id", value)]
    return []


async def _refuse_other_protocols(scope: Scope, receive: Receive, send: Send) -> None:
    """WebSockets are closed; the lifespan protocol is answered, as some servers insist on it."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    for phase in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{phase}.complete"})
