"""The page's files as public routes: read once, answered from memory.

They hold nothing of this server, so nobody is asked for a key; whatever they show is fetched from
routes that ask. Each file has a route of its own, from a fixed table: no name that a client writes
is ever looked up, and a path that is not in the table is refused like any other.

The policy of its content (CSP level 3) lets the page run and load nothing but these files, send to
no other host, be in no frame, and write HTML nowhere (Trusted Types). ``no-cache`` has a browser
ask each time, and the entity tag makes the answer a 304 (RFC 9110, section 13.1.2).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from serve.api.policy import PUBLIC
from serve.api.routes import Handler, RouteSpec, ServerState

HTML: Final = "text/html; charset=utf-8"
CSS: Final = "text/css; charset=utf-8"
SCRIPT: Final = "text/javascript; charset=utf-8"
SVG: Final = "image/svg+xml"

FILES: Final[Mapping[str, tuple[str, str]]] = {
    "/": ("page.html", HTML),
    "/docs": ("page.html", HTML),
    "/pages/page.css": ("page.css", CSS),
    "/pages/icon.svg": ("icon.svg", SVG),
    **{
        f"/pages/{name}.js": (f"{name}.js", SCRIPT)
        for name in (
            *("app", "api", "events", "connection", "dom", "curl"),
            *("playground", "turn", "settings", "model", "markdown", "inline"),
            *("reference", "types"),
        )
    },
}
"""The file and media type of each route."""

CONTENT_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS: Final[Mapping[str, str]] = {
    "cache-control": "no-cache",
    "content-security-policy": CONTENT_POLICY,
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class File:
    """A file in memory.

    Attributes:
        tag: a strong entity tag, of its bytes.
    """

    content: bytes
    media_type: str
    tag: str

    def answer(self, asked: str | None) -> Response:
        """The file; without its bytes where ``If-None-Match`` names them."""
        headers = {**HEADERS, "etag": self.tag}
        if asked is not None and _names(asked, self.tag):
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers={**headers, "content-type": self.media_type})


def routes(state: ServerState) -> tuple[RouteSpec, ...]:
    """The page's routes; none where the operator turned it off."""
    if not state.config.playground:
        return ()
    return tuple(
        RouteSpec(path=path, handler=_handler(_read(*source)), policy=PUBLIC)
        for path, source in FILES.items()
    )


@cache
def _read(name: str, media_type: str) -> File:
    content = resources.files(__package__).joinpath(name).read_bytes()
    return File(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


def _handler(file: File) -> Handler:
    async def page(request: Request) -> Response:
        return file.answer(request.headers.get("if-none-match"))

    return page


def _names(asked: str, tag: str) -> bool:
    """Whether a list of entity tags holds this one; a weak one counts, and ``*`` is any."""
    given = {part.strip().removeprefix("W/") for part in asked.split(",")}
    return tag in given or "*" in given
