"""Acts of administrators: a route that needs their scope is recorded before it is answered."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from serve.api.http.middleware import call_of
from serve.api.policy import Policy
from serve.api.routes import Handler
from serve.service.requests import Service

RECORDED_SCOPES: Final = frozenset({"admin", "audit"})
MAX_QUERY_CHARS: Final = 200


def is_act(policy: Policy) -> bool:
    """Whether what needs this is an administrator's."""
    return policy.scope in RECORDED_SCOPES


def recorded(service: Service, path: str, handler: Handler) -> Handler:
    """The handler, whose answers leave behind their record. Raises AuditUnavailable, too."""

    async def handle(request: Request) -> Response:
        response = await handler(request)
        details = {"query": request.url.query[:MAX_QUERY_CHARS]} if request.url.query else {}
        await service.recorder.act(call_of(request.scope), f"{request.method} {path}", details)
        return response

    handle.__name__ = handler.__name__
    handle.__doc__ = handler.__doc__
    return handle
