"""Calls that run nothing in the engine: each is recorded before it is answered.

Whatever takes a body or changes something is one, unless it records itself: what generates does
(serve/service/running.py), and so does what gives tokens (serve/api/operations/oauth.py).
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from serve.api.http.middleware import call_of
from serve.api.routes import Handler, RouteSpec
from serve.service.requests import Service


def is_recorded_call(route: RouteSpec) -> bool:
    """Whether calls of this route are recorded here. What only reads is not."""
    return route.method != "GET" and not route.policy.is_public


def recorded_call(service: Service, path: str, handler: Handler) -> Handler:
    """The handler, whose calls leave their record behind. Raises AuditUnavailable, too.

    It is asked before whether the log can be written: what changes something then does not begin.
    """

    async def handle(request: Request) -> Response:
        service.recorder.check()
        call = call_of(request.scope)
        call.record.route = path
        response = await handler(request)
        await service.recorder.called(call, response.status_code)
        return response

    handle.__name__ = handler.__name__
    handle.__doc__ = handler.__doc__
    return handle
