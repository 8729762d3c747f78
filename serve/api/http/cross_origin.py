"""Cross-origin requests: which web pages may ask from a browser (CORS; the Fetch standard, 3.2).

The library's CORSMiddleware does not fit: it answers a preflight with 200, refuses in plain text
and outside of our record, and takes request headers from a list, whereas clients bring a family of
them (``x-stainless-*``).

A preflight of an allowed origin is answered here, before anybody is asked for a key: browsers send
none with it, and it starts no work. All other requests go on, whatever their origin; an allowed one
finds the headers in every answer, refusals and streams too. No answer allows credentials: keys come
in a header that the page sets itself, and cookies are never read. So ``*`` opens a server no
further than its keys do, and is refused where there are none (listening.check_exposure).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.api.http.middleware import header_values
from serve.origins import ANY_ORIGIN

MAX_AGE_S: Final = 600
METHODS: Final = b"GET, HEAD, POST, DELETE"
USUAL_HEADERS: Final = b"authorization, content-type"
EXPOSED_HEADERS: Final = b", ".join(
    (
        b"x-request-id",
        b"x-client-request-id",
        b"x-intramural-arm",
        b"x-should-retry",
        b"x-response-cache",
        b"age",
        b"retry-after",
        b"retry-after-ms",
        b"www-authenticate",
        *(
            f"x-ratelimit-{part}-{kind}".encode()
            for part in ("limit", "remaining", "reset")
            for kind in ("requests", "tokens")
        ),
    )
)
VARY: Final = (
    b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers, "
    b"Access-Control-Request-Private-Network"
)

# Names of headers, which is all that is ever sent back (RFC 9110, section 5.1).
_NAMES = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")

Headers = list[tuple[bytes, bytes]]


class CrossOrigin:
    """Lets pages of the allowed origins read answers.

    Args:
        origins: as browsers write them (serve.origins); ``*`` is any.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app = app
        self._origins = frozenset(origin.encode() for origin in origins)
        self._is_any = ANY_ORIGIN.encode() in self._origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        allowed = self._allowed(header_values(scope, b"origin"))
        if allowed and scope["method"] == "OPTIONS" and _preflight_method(scope):
            headers = [*allowed, *_preflight_headers(scope)]
            await send({"type": "http.response.start", "status": 204, "headers": headers})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        added: Headers = [(b"vary", b"Origin")]
        if allowed:
            added += [*allowed, (b"access-control-expose-headers", EXPOSED_HEADERS)]

        async def marked_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        await self._app(scope, receive, marked_send)

    def _allowed(self, given: Sequence[bytes]) -> Headers:
        """The header that lets this origin in; empty for none and for one that is not allowed."""
        if len(given) != 1 or not (self._is_any or given[0] in self._origins):
            return []
        return [(b"access-control-allow-origin", b"*" if self._is_any else given[0])]


def _preflight_method(scope: Scope) -> bool:
    return len(header_values(scope, b"access-control-request-method")) == 1


def _preflight_headers(scope: Scope) -> Headers:
    """The headers of a preflight's answer. A page may send any header: we read those we know."""
    asked = b", ".join(header_values(scope, b"access-control-request-headers")).strip()
    headers = [
        (b"access-control-allow-methods", METHODS),
        (b"access-control-allow-headers", asked if _NAMES.fullmatch(asked) else USUAL_HEADERS),
        (b"access-control-max-age", str(MAX_AGE_S).encode()),
        (b"vary", VARY),
    ]
    if header_values(scope, b"access-control-request-private-network") == [b"true"]:
        headers.append((b"access-control-allow-private-network", b"true"))
    return headers
