"""What orchestrators and operators ask: is it alive, ready, started; which version; what figures.

The three probes are the only routes that answer without a key.
"""

from __future__ import annotations

from functools import cache
from importlib import metadata
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response
from starlette.routing import Route

from serve.api.context import ServerState, state_of
from serve.api.openai.schemas import JsonReply, Version
from serve.errors import RouteNotFound

router = APIRouter(tags=["operations"])
STARTUP_RETRY_S = 1


def probe_routes(state: ServerState) -> list[Route]:
    """The public routes. They see no principal and give away nothing but the server's condition."""

    async def livez(_request: Request) -> Response:
        """The event loop turns."""
        return JsonReply({"status": "alive"})

    async def readyz(_request: Request) -> Response:
        """The model is loaded, the engine makes progress and new work is taken.

        Raises:
            Unavailable: one of these does not hold; the error's code says which.
        """
        await state.ready_pipeline().engine.check_health()
        return JsonReply({"status": "ready"})

    async def startupz(_request: Request) -> Response:
        """How far the start is, by phases."""
        if state.startup.is_complete:
            return JsonReply(state.startup.snapshot())
        retry = {"retry-after": str(STARTUP_RETRY_S)}
        return JsonReply(state.startup.snapshot(), status_code=503, headers=retry)

    return [
        Route("/livez", livez, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/startupz", startupz, methods=["GET"]),
    ]


@router.get("/version", responses={200: {"model": Version}})
async def version(_request: Request) -> Response:
    """The server's version."""
    return JsonReply({"version": server_version()})


@router.get(
    "/metrics", responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
)
async def metrics(request: Request) -> Response:
    """Figures in Prometheus' text format."""
    exposition = state_of(request).metrics
    if exposition is None:
        raise RouteNotFound("This server keeps no metrics.")
    body, content_type = exposition.render()
    return Response(body, headers={"content-type": content_type})


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> Response:
    """The description of this API."""
    described: dict[str, Any] = request.app.openapi()
    return JsonReply(described)


@cache
def server_version() -> str:
    """Version of the installed distribution; ``0+source`` in a checkout that is not installed."""
    try:
        return metadata.version("intramural")
    except metadata.PackageNotFoundError:
        return "0+source"
