"""Operators' questions: figures, the version, and the description of the API."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from serve.api.openai.schemas import JsonReply
from serve.api.operations.shapes import Version
from serve.api.policy import ANY_KEY, METRICS
from serve.api.routes import RouteSpec, ServerState
from serve.errors import RouteNotFound
from serve.version import server_commit, server_version

_TEXT: dict[str, Any] = {"text/plain": {"schema": {"type": "string"}}}
_OBJECT: dict[str, Any] = {"application/json": {"schema": {"type": "object"}}}


def routes(state: ServerState) -> tuple[RouteSpec, ...]:
    """The routes that tell of the server itself."""

    async def version(_request: Request) -> Response:
        """The server's version, and the commit of its sources; null where that is not known."""
        return JsonReply({"version": server_version(), "commit": server_commit()})

    async def metrics(_request: Request) -> Response:
        """Figures in Prometheus' text format."""
        if state.metrics is None:
            raise RouteNotFound("This server keeps no metrics.")
        body, content_type = state.metrics.render()
        return Response(body, headers={"content-type": content_type})

    async def openapi(request: Request) -> Response:
        """The description of this API."""
        document: dict[str, Any] = request.app.openapi()
        return JsonReply(document)

    tags = ["operations"]
    return (
        RouteSpec(
            path="/version",
            handler=version,
            policy=ANY_KEY,
            openapi={"tags": tags, "responses": {200: {"model": Version}}},
        ),
        RouteSpec(
            path="/metrics",
            handler=metrics,
            policy=METRICS,
            openapi={"tags": tags, "responses": {200: {"content": _TEXT}}},
        ),
        RouteSpec(
            path="/openapi.json",
            handler=openapi,
            policy=ANY_KEY,
            openapi={"tags": tags, "responses": {200: {"content": _OBJECT}}},
        ),
    )
