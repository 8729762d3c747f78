"""The application: few public routes, and one protected application for all else.

Default-deny by construction. The outer router knows the routes whose policy is public; whatever it
does not know, in whatever method or spelling, goes to the protected application, and that has one
authentication before its router. A new route is protected unless its policy says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.exceptions import HTTPException
from starlette.routing import Mount, Route, Router, request_response
from starlette.types import ASGIApp, Receive, Scope, Send

from serve.api.dialect import Dialect
from serve.api.http.acts import is_act, recorded
from serve.api.http.body_bound import body_bound
from serve.api.http.cross_origin import CrossOrigin
from serve.api.http.endpoint import endpoint
from serve.api.http.guards import Authenticate, BoundBody, Policies
from serve.api.http.memory import GiveMemoryBack
from serve.api.http.middleware import AnswerErrors, BoundHeaders, HeadAsGet, RecordCall, wrapped
from serve.api.http.recorded_calls import is_recorded_call, recorded_call
from serve.api.openai import models, moderations
from serve.api.openai.chat import ChatCompletions
from serve.api.openai.completions import Completions
from serve.api.openai.errors import problem
from serve.api.openapi import Documentation
from serve.api.operations import feedback, health, metrics, oauth, tokenize, usage
from serve.api.pages import site
from serve.api.routes import RouteSpec, ServerState
from serve.service.requests import Service
from serve.version import server_version

DIALECTS: tuple[Dialect, ...] = (ChatCompletions(), Completions())
"""Every endpoint that generates. A new one is a file of its own, and an entry here."""


class ProtectedApp(FastAPI):
    """The routes behind authentication.

    Of FastAPI's own middleware only what its routes insist on: errors are answered by AnswerErrors,
    which knows their status, and not by two layers that would log values and answer in plain text.
    """

    documentation: Documentation

    def build_middleware_stack(self) -> ASGIApp:
        return AsyncExitStackMiddleware(self.router)

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = self.documentation.describe(self)
        return self.openapi_schema


def routes_of(state: ServerState, dialects: Sequence[Dialect] = DIALECTS) -> list[RouteSpec]:
    """Every route of the server, recorded in the audit log as it has to be."""
    generating = [
        RouteSpec(
            path=dialect.path,
            handler=endpoint(state.service, dialect),
            policy=dialect.policy,
            method="POST",
            openapi=dialect.openapi,
        )
        for dialect in dialects
    ]
    others = [
        *models.routes(state),
        *moderations.routes(state),
        *tokenize.routes(state),
        *health.routes(state),
        *metrics.routes(state),
        *usage.routes(state),
        *feedback.routes(state),
        *oauth.routes(state),
        *site.routes(state),
    ]
    return [*generating, *(_recorded(state.service, route) for route in others)]


def _recorded(service: Service, route: RouteSpec) -> RouteSpec:
    """A route that does not generate, with what records it before its answer leaves."""
    if is_act(route.policy):
        handler = recorded(service, route.path, route.handler)
    elif is_recorded_call(route):
        handler = recorded_call(service, route.path, route.handler)
    else:
        return route
    return replace(route, handler=handler)


def create_protected_app(routes: Sequence[RouteSpec]) -> ProtectedApp:
    """The routes that need a caller who is known, without what learns that.

    Those that do not are described with the others, and not served.
    """
    app = ProtectedApp(
        title="Intramural",
        version=server_version(),
        openapi_url=None,  # our own route serves it
        docs_url=None,  # these two load scripts from a public host
        redoc_url=None,
        redirect_slashes=False,
    )
    app.documentation = Documentation()
    for route in routes:
        app.documentation.add(app.router, route)
    # A public route in another method than its own is found by nobody, and comes here.
    public = {route.path: route.method for route in routes if route.policy.is_public}
    app.router.default = partial(_not_found, public)
    return app


async def _not_found(
    public: Mapping[str, str],
    scope: Scope,
    receive: Receive,  # noqa: ARG001 - ASGI's
    send: Send,  # noqa: ARG001
) -> None:
    method = public.get(scope["path"])
    if method is None:
        raise HTTPException(404)
    raise HTTPException(405, headers={"Allow": method})


def create_app(state: ServerState, dialects: Sequence[Dialect] = DIALECTS) -> ASGIApp:
    """The whole application, from the socket's edge inwards."""
    config, service = state.config, state.service
    for dialect in dialects:
        if dialect.policy.is_public or dialect.policy.scope is None:
            raise ValueError(f"{dialect.path} generates, so its policy needs a scope.")
    routes = routes_of(state, dialects)
    app = create_protected_app(routes)
    behind = (route.policy for route in routes if not route.policy.is_public)
    policies = Policies(zip(app.routes, behind, strict=True))
    bounded = partial(
        BoundBody,
        max_bytes=body_bound(config, service.directory),
        timeout_s=config.receive_timeout_s,
    )
    protected = wrapped(app, [partial(Authenticate, service=service, policies=policies), bounded])
    public = [
        Route(
            route.path,
            bounded(request_response(route.handler), public=route.policy),
            methods=[route.method],
        )
        for route in routes
        if route.policy.is_public
    ]
    # The mount takes every path that starts with a slash; ``default`` takes what else a client may
    # write into the request line ("*", "http://elsewhere/livez").
    router = Router(
        routes=[*public, Mount("/", app=protected)], default=protected, redirect_slashes=False
    )
    origins = config.allowed_origins
    return wrapped(
        router,
        [
            partial(RecordCall, service=service, arm=config.arm),
            *([partial(CrossOrigin, origins=origins)] if origins else ()),
            partial(
                AnswerErrors,
                problems={dialect.path: dialect.problem for dialect in dialects}
                | {oauth.PATH: oauth.problem},
                problem=problem,
            ),
            partial(BoundHeaders, max_bytes=config.max_header_bytes),
            GiveMemoryBack,
            HeadAsGet,
        ],
    )
