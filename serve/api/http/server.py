"""The HTTP server: uvicorn with the connections of ``connection.py``, and an end of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from serve.api.http.connection import LINGER_S, STALLED_READER_S, BoundedProtocol
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
        self.handshake_timeout_s = 10.0

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
        if self.config.is_ssl:
            await self._start_tls(sockets)
        else:
            await super().startup(sockets)
        if self._on_listening is not None:
            self._on_listening(self.port)

    async def _start_tls(self, sockets: list[socket.socket] | None) -> None:
        """Listen as uvicorn does, with bounds on a handshake and on the end of a connection.

        uvicorn leaves them to uvloop: a silent client holds a descriptor for 60 s, and one that
        does not end TLS in order for 30 s more.
        """
        loop = asyncio.get_running_loop()

        def protocol() -> asyncio.Protocol:
            protocol_class = self.config.http_protocol_class
            made: asyncio.Protocol = protocol_class(  # type: ignore[call-arg]
                config=self.config, server_state=self.server_state, app_state={}, _loop=loop
            )
            return made

        places: list[dict[str, Any]] = [{"sock": listener} for listener in sockets or ()]
        self.servers = [
            await loop.create_server(
                protocol,
                ssl=self.config.ssl,
                backlog=BACKLOG,
                ssl_handshake_timeout=self.handshake_timeout_s,
                ssl_shutdown_timeout=LINGER_S,
                **place,
            )
            for place in places or [{"host": self.config.host, "port": self.config.port}]
        ]
        self.started = True

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
    tls: ssl.SSLContext | None = None,
) -> HttpServer:
    """The server for an application, not yet running.

    Args:
        problem: the envelope of refusals that the application never sees.
        on_listening: told the port once connections are taken.
        stalled_reader_s: how long a client may leave an answer untaken.
        tls: makes it an HTTPS server, and no other.
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
        ssl_context_factory=None if tls is None else lambda _config, _default: tls,
    )
    server = HttpServer(settings, on_listening)
    server.handshake_timeout_s = config.receive_timeout_s
    return server
