"""The HTTP server: uvicorn with the connections of ``connection.py``, and an end of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from serve.api.http.connection import STALLED_READER_S, BoundedProtocol
from serve.api.http.problems import Problem
from serve.api.http.turns import Turns
from serve.config import Config

GRACE_S = 2
BACKLOG = 2048


class HttpServer(uvicorn.Server):
    """A server that leaves signals alone: who runs it decides when it ends.

    ``serve()`` runs until ``stop()``. To drain, close the pipeline's gate and wait until it is idle
    first: meanwhile new requests get an answer, 503. After ``stop()`` no connection is taken, and
    what still runs gets a few seconds more; then it is cancelled, which clients learn from an
    error, in-band or as 503.
    """

    def __init__(
        self, config: uvicorn.Config, on_listening: Callable[[int], None] | None = None
    ) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Take no more connections, and end.

        Args:
            grace_s: for answers that are not complete, or whose client has yet to take them.
        """
        self.config.timeout_graceful_shutdown = grace_s  # type: ignore[assignment]  # any number does
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._on_listening is not None:
            self._on_listening(self.port)

    @property
    def port(self) -> int:
        """The port bound. Only once the server listens."""
        address = self.servers[0].sockets[0].getsockname()
        return int(address[1])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; also let those requests clean up whose time is over."""
        await super().shutdown(sockets)
        if tasks := list(self.server_state.tasks):
            await asyncio.wait(tasks, timeout=1)


def build_server(
    app: ASGIApp,
    config: Config,
    *,
    problem: Problem,
    on_listening: Callable[[int], None] | None = None,
    stalled_reader_s: float = STALLED_READER_S,
) -> HttpServer:
    """The server for an application, not yet running.

    Args:
        problem: the envelope of refusals that the application never sees.
        on_listening: told the port once connections are taken.
        stalled_reader_s: how long a client may leave an answer untaken.
    """
    bounds = {
        "receive_timeout_s": config.receive_timeout_s,
        "stalled_reader_s": stalled_reader_s,
        "problem": staticmethod(problem),
        "turns": Turns(),
    }
    protocol: type[asyncio.Protocol] = type("ConfiguredProtocol", (BoundedProtocol,), bounds)
    settings = uvicorn.Config(
        app,
        host=config.host,
        port=config.port,
        http=protocol,
        h11_max_incomplete_event_size=config.max_header_bytes,
        loop="uvloop",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # its warnings are one line per odd request, for the asking
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=config.keep_alive_timeout,  # type: ignore[arg-type]  # goes to call_later
        timeout_graceful_shutdown=GRACE_S,
    )
    return HttpServer(settings, on_listening)
