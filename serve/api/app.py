"""The application: few public routes, and one protected application for all else.

Default-deny by construction. The outer router knows the three probes; whatever it does not know,
in whatever method or spelling, goes to the protected application, and that has one gate before its
router. A new route is protected unless somebody adds it to ``probe_routes``.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.routing import Mount, Router
from starlette.types import ASGIApp

from serve.api.context import ServerState
from serve.api.http.middleware import BodyGuard, Door, Gate, HeaderGuard
from serve.api.http.problems import Problems
from serve.api.openai import chat, completions, models
from serve.api.openapi import describe
from serve.api.operations import health, tokenize

FAMILIES: tuple[APIRouter, ...] = (
    chat.router,
    completions.router,
    models.router,
    tokenize.router,
    health.router,
)


class ProtectedApp(FastAPI):
    """The routes behind the gate.

    Of FastAPI's own middleware only what its routes insist on: errors are answered by Problems,
    which knows their status, and not by two layers that would log values and answer in plain text.
    """

    def build_middleware_stack(self) -> ASGIApp:
        return AsyncExitStackMiddleware(self.router)

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = describe(self)
        return self.openapi_schema


def create_protected_app(state: ServerState) -> ProtectedApp:
    """The routes that need a key, without the gate before them."""
    app = ProtectedApp(
        title="Intramural",
        version=health.server_version(),
        openapi_url=None,  # our own route serves it
        docs_url=None,  # these two load scripts from a public host
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.server = state
    for family in FAMILIES:
        app.include_router(family)
    return app


def create_app(state: ServerState) -> ASGIApp:
    """The whole application, from the socket's edge inwards."""
    config = state.config
    protected: ASGIApp = create_protected_app(state)
    protected = BodyGuard(protected, config.max_body_bytes, config.receive_timeout_s)
    protected = Gate(protected, state)
    routes = [*health.probe_routes(state), Mount("/", app=protected)]
    # The mount takes every path that starts with a slash; ``default`` takes what else a client may
    # write into the request line ("*", "http://elsewhere/livez").
    router = Router(routes=routes, default=protected, redirect_slashes=False)
    return Door(Problems(HeaderGuard(router, config.max_header_bytes)), state)
