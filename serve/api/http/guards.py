"""Guards: who and what is let in to the routes that are not public, by each route's policy."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from models.rules.names import quoted
from serve import timeline
from serve.api.http.client_certificates import CLIENT_CERTIFICATE
from serve.api.http.middleware import call_of, header_values
from serve.api.policy import ANY_KEY, PUBLIC, Policy
from serve.errors import BodyTooLarge, InvalidRequest, RequestTimeout, UnsupportedMediaType
from serve.governance.identity.credentials import Credentials
from serve.service.requests import Service

POLICY_KEY: Final = "intramural.policy"
SHOWN_CHARS = 60
BODY_PATIENCE = 6
"""A whole body may take this many times as long as one piece of it."""

_UTF8 = rb"[ \t]*(?:;[ \t]*charset=\"?utf-?8\"?[ \t]*)?"
_TYPES: Final = {
    "json": ("application/json", "JSON in UTF-8"),
    "form": ("application/x-www-form-urlencoded", "a form in UTF-8"),
}
_PATTERNS: Final = {
    kind: re.compile(re.escape(name.encode()) + _UTF8, re.IGNORECASE)
    for kind, (name, _) in _TYPES.items()
}


class Policies:
    """The policy of each route, found as the router will find the route.

    Args:
        routes: in the router's order, each with its policy.
    """

    def __init__(self, routes: Iterable[tuple[BaseRoute, Policy]]) -> None:
        self._routes = tuple(routes)

    def of(self, scope: Scope) -> Policy:
        """The policy of the route that will answer; that of any key where none will."""
        return self.found(scope)[1]

    def found(self, scope: Scope) -> tuple[BaseRoute | None, Policy]:
        """The route that will answer, and its policy."""
        for route, policy in self._routes:
            if route.matches(scope)[0] is Match.FULL:
                return route, policy
        return None, ANY_KEY


class Authenticate:
    """Lets in whom the service knows, where the route's policy allows it.

    Who asks is read from headers only, never from the path: this stands before the router of all
    that is protected, so there is no path that could be read in two ways.
    """

    def __init__(self, app: ASGIApp, service: Service, policies: Policies) -> None:
        self._app = app
        self._service = service
        self._policies = policies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = call_of(scope)
        route, policy = self._policies.found(scope)
        if isinstance(route, Route):
            call.record.route = route.path_format  # who is refused does not come to the router
        self._service.authenticate(
            call,
            Credentials(
                authorization=_texts(header_values(scope, b"authorization")),
                api_keys=_texts(header_values(scope, b"x-api-key")),
                hosts=_texts(header_values(scope, b"host")),
                client_certificate=scope.get(CLIENT_CERTIFICATE),
            ),
        )
        self._service.authorise(call, policy.scope)
        scope[POLICY_KEY] = policy
        await self._app(scope, receive, send)


class BoundBody:
    """Lets in only bodies of the policy's kind, not encoded, not too large and not too slow.

    The content type matters beyond tidiness: a page of another origin can make a browser POST
    ``text/plain`` without asking, but not ``application/json`` (Fetch standard, section 4.10).

    Args:
        max_bytes: gives the bound of routes that have none of their own (body_bound.py).
        public: the policy where nobody was asked who they are.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_bytes: Callable[[], int],
        timeout_s: float,
        public: Policy = PUBLIC,
    ) -> None:
        self._app = app
        self._public = public
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        policy: Policy = scope.get(POLICY_KEY, self._public)
        max_bytes = policy.max_body_bytes or self._max_bytes()
        lengths = header_values(scope, b"content-length")
        has_body = bool(header_values(scope, b"transfer-encoding")) or lengths not in ([], [b"0"])
        if codings := header_values(scope, b"content-encoding"):
            raise UnsupportedMediaType(
                f"The body is encoded (Content-Encoding: {_shown(codings)}): send it as it is."
            )
        if has_body:
            types = header_values(scope, b"content-type")
            if len(types) != 1 or not _PATTERNS[policy.body].fullmatch(types[0]):
                name, kind = _TYPES[policy.body]
                given = f"is {_shown(types)}, not {kind}" if types else "is not given"
                raise UnsupportedMediaType(
                    f"The body's content type {given}: send 'Content-Type: {name}'."
                )
        for length in lengths:
            if not re.fullmatch(rb"[0-9]{1,15}", length):
                raise InvalidRequest("The Content-Length header is not a number of bytes.")
            if int(length) > max_bytes:
                raise _too_large(int(length), max_bytes)
        await self._app(scope, self._bounded(receive, max_bytes), send)

    def _bounded(self, receive: Receive, max_bytes: int) -> Receive:
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
                if num_bytes > max_bytes:
                    raise _too_large(num_bytes, max_bytes)
            return message

        return bounded_receive


def _too_large(num_bytes: int, max_bytes: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"The body has {num_bytes} bytes or more: at most {max_bytes}. Send less at once."
    )


def _shown(values: Sequence[bytes]) -> str:
    """The values of a header, as far as an error shows them."""
    return quoted(", ".join(_texts(values))[:SHOWN_CHARS])


def _texts(values: Sequence[bytes]) -> tuple[str, ...]:
    return tuple(value.decode("latin-1") for value in values)
