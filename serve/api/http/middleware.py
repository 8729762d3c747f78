"""The door: what every request passes before a route sees it. Pure ASGI, no buffering.

::

    Door         request id, record, response headers, listeners      every request
      Problems     exceptions become answers                          (problems.py)
        HeaderGuard  number and size of headers
          router       /livez /readyz /startupz, and for all else:
            Gate         API key, or a loopback Host where there are no keys
              BodyGuard    content type, encoding, size, pace
                routes

Request ids are ours: ``req-`` and 128 random bits, in ``x-request-id`` of each answer, in the log
and in the ids of completions. An id that the client sends (``x-client-request-id``, OpenAI's name,
or ``x-request-id``) comes back as ``x-client-request-id`` if it is 1 to 64 of ``A-Za-z0-9._-``;
it is used for nothing else, so nobody can forge an entry of the log.

``x-intramural-arm`` names the experiment arm that answered, to those who have passed the gate. A
server that is about to end closes each connection after its next answer: the client's next one
finds another replica.
"""

from __future__ import annotations

import asyncio
import re
import secrets

from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve import timeline
from serve.api.context import RECORD_KEY, SEND_KEY, ServerState, record_of
from serve.errors import (
    BodyTooLarge,
    Forbidden,
    HeadersTooLarge,
    InvalidApiKey,
    InvalidRequest,
    RequestTimeout,
    UnsupportedMediaType,
)
from serve.governance.principal import ANONYMOUS
from serve.observe.record import RequestRecord
from serve.timeline import Timeline

MAX_HEADERS = 100
BODY_PATIENCE = 6
"""A whole body may take this many times as long as one piece of it."""
STATUS_CLIENT_LEFT = 499

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_CLIENT_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_LOOPBACK_HOST = re.compile(rb"(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE)
_JSON_TYPE = re.compile(
    rb"application/json[ \t]*(?:;[ \t]*charset=\"?utf-8\"?[ \t]*)?", re.IGNORECASE
)


def header_values(scope: Scope, name: bytes) -> list[bytes]:
    """The values of all headers of that (lower-case) name."""
    return [value for key, value in scope["headers"] if key == name]


class Door:
    """Makes the record, and hands it to the listeners exactly once, when all is over."""

    def __init__(self, app: ASGIApp, state: ServerState) -> None:
        self._app = app
        self._state = state
        self._arm = state.config.arm.encode() if state.config.arm is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _refuse_other_protocols(scope, receive, send)
            return
        method = scope["method"]
        record = RequestRecord(
            request_id="req-" + secrets.token_hex(16),
            method=method if method in _METHODS else "OTHER",  # logs and metrics label with it
            timeline=Timeline(arrived_at=timeline.now()),
        )
        scope[RECORD_KEY] = record
        scope[SEND_KEY] = send
        headers = [
            (b"x-request-id", record.request_id.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"cache-control", b"no-store"),
            *_client_request_id(scope),
        ]

        async def marked_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                if self._arm is not None and record.key_id is not None:
                    headers.append((b"x-intramural-arm", self._arm))
                if self._state.is_leaving:
                    headers.append((b"connection", b"close"))
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        try:
            await self._app(scope, receive, marked_send)
        finally:
            if isinstance(route := scope.get("route"), Route):
                record.route = route.path_format
            if record.is_disconnected and not record.status:
                record.status = STATUS_CLIENT_LEFT
            record.timeline.finished_at = timeline.now()
            for listener in self._state.listeners:
                listener.request_finished(record)


class HeaderGuard:
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


class Gate:
    """Lets nobody in without a key. Where there are no keys, lets nobody in from elsewhere.

    It looks at headers only, never at a path: it stands before the router of all that is protected,
    so there is no path that could be read in two ways.

    Without keys a web page could have the user's browser ask a loopback server by a DNS name that
    the page's owner points at 127.0.0.1 (DNS rebinding). Browsers send that name as Host.
    """

    def __init__(self, app: ASGIApp, state: ServerState) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        keys = self._state.keys
        if keys is None:
            hosts = header_values(scope, b"host")
            if len(hosts) != 1 or not _LOOPBACK_HOST.fullmatch(hosts[0]):
                raise Forbidden(
                    "This server has no API keys, so it answers only to the hosts localhost, "
                    "127.0.0.1 and [::1]. Ask it by one of these, or start it with --api-key-file."
                )
            principal = ANONYMOUS
        else:
            given = header_values(scope, b"authorization")
            if len(given) > 1:
                raise InvalidApiKey("The request has more than one Authorization header: send one.")
            principal = keys.authenticate(given[0].decode("latin-1") if given else None)
        record_of(scope).key_id = principal.key_id
        await self._app(scope, receive, send)


class BodyGuard:
    """Lets in only bodies that are plain JSON, not too large and not too slow.

    The content type matters beyond tidiness: a page of another origin can make a browser POST
    ``text/plain`` without asking, but not ``application/json`` (Fetch standard, section 4.10).
    """

    def __init__(self, app: ASGIApp, max_bytes: int, timeout_s: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        lengths = header_values(scope, b"content-length")
        has_body = bool(header_values(scope, b"transfer-encoding")) or lengths not in ([], [b"0"])
        if header_values(scope, b"content-encoding"):
            raise UnsupportedMediaType(
                "The body is compressed (Content-Encoding): send it as it is."
            )
        if has_body:
            types = header_values(scope, b"content-type")
            if len(types) != 1 or not _JSON_TYPE.fullmatch(types[0]):
                raise UnsupportedMediaType(
                    "The body's content type is not JSON: send 'Content-Type: application/json'."
                )
        for length in lengths:
            if not re.fullmatch(rb"[0-9]{1,15}", length):
                raise InvalidRequest("The Content-Length header is not a number of bytes.")
            if int(length) > self._max_bytes:
                raise self._too_large(int(length))
        await self._app(scope, self._bounded(receive), send)

    def _bounded(self, receive: Receive) -> Receive:
        """``receive``, bounded in size and time until the body is complete.

        After that it has no bound: it is how a route learns that the client has left.
        """
        num_bytes = 0
        is_complete = False
        deadline = timeline.now() + BODY_PATIENCE * self._timeout_s

        async def bounded_receive() -> Message:
            nonlocal num_bytes, is_complete
            if is_complete:
                return await receive()
            try:
                async with asyncio.timeout(min(self._timeout_s, deadline - timeline.now())):
                    message = await receive()
            except TimeoutError:
                raise RequestTimeout(
                    f"The body stopped arriving: a piece of it may take {self._timeout_s:g} s "
                    f"and all of it {BODY_PATIENCE * self._timeout_s:g}."
                ) from None
            if message["type"] == "http.request":
                num_bytes += len(message.get("body", b""))
                is_complete = not message.get("more_body", False)
                if num_bytes > self._max_bytes:
                    raise self._too_large(num_bytes)
            return message

        return bounded_receive

    def _too_large(self, num_bytes: int) -> BodyTooLarge:
        return BodyTooLarge(
            f"The body has {num_bytes} bytes or more: at most {self._max_bytes}. Send less at once."
        )


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
