"""The probes: is the server alive, ready, started. The only routes that need no key.

``/health`` is ``/readyz`` under the name that front ends, routers and other servers know: 200 once
requests are answered, 503 while the model loads, when the engine is down and before an end.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from serve.api.openai.schemas import PROBLEM, JsonReply
from serve.api.operations.shapes import Condition, StartReply
from serve.api.policy import PUBLIC
from serve.api.routes import RouteSpec, ServerState

STARTUP_RETRY_S = 1


def routes(state: ServerState) -> tuple[RouteSpec, ...]:
    """The probes. They see no principal and give away nothing but the server's condition."""

    async def livez(_request: Request) -> Response:
        """The event loop turns. An engine that stays down ends the process, and with it this."""
        return JsonReply({"status": "alive"})

    async def readyz(_request: Request) -> Response:
        """The model is loaded, the engine makes progress and new work is taken.

        Raises:
            Unavailable: one of these does not hold; the error's code says which.
        """
        state.service.check_ready()
        await state.service.directory.default.resident().engine.check_health()
        return JsonReply({"status": "ready"})

    async def health(request: Request) -> Response:
        """The same as /readyz, under the name that front ends and routers ask for.

        Raises:
            Unavailable: as readyz does.
        """
        return await readyz(request)

    async def startupz(_request: Request) -> Response:
        """Progress of the start, by phases."""
        if state.startup.is_complete:
            return JsonReply(state.startup.snapshot())
        retry = {"retry-after": str(STARTUP_RETRY_S)}
        return JsonReply(state.startup.snapshot(), status_code=503, headers=retry)

    tags = ["probes"]
    alive = {"tags": tags, "responses": {200: {"model": Condition}}}
    ready = {"tags": tags, "responses": {200: {"model": Condition}, 503: PROBLEM}}
    start = {"tags": tags, "responses": {200: {"model": StartReply}, 503: {"model": StartReply}}}
    return (
        RouteSpec(path="/livez", handler=livez, policy=PUBLIC, openapi=alive),
        RouteSpec(path="/readyz", handler=readyz, policy=PUBLIC, openapi=ready),
        RouteSpec(path="/startupz", handler=startupz, policy=PUBLIC, openapi=start),
        RouteSpec(path="/health", handler=health, policy=PUBLIC, openapi=ready),
    )
