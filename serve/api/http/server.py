"""The HTTP server: uvicorn with h11, and bounds on what it leaves unbounded.

h11 because it bounds a request's headers; httptools took 200 MB of them (measured). What no parser
bounds is time. ``BoundedProtocol`` closes a connection

- whose request headers are not complete ``receive_timeout_s`` after their first byte (or after
  the connection was made, if there is none): half-sent headers;
- that keeps sending the body of a request that has been answered already;
- whose client has not taken a byte of the answer for STALLED_READER_S, which frees its slot.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from serve.api.http.problems import Problem
from serve.config import Config
from serve.errors import HeadersTooLarge, InvalidRequest, RequestError, RequestTimeout

STALLED_READER_S = 60.0
GRACE_S = 2
BACKLOG = 2048
MAX_INCOMPLETE_BYTES = 16_384


class QuickConnection(h11.Connection):
    """h11, but for the pieces of a chunked body: those it frames at once (RFC 9112, section 7.1).

    A stream has thousands of them, and none changes the state that h11 keeps; it takes 3.4 µs
    for each, and this 0.9 (docs/lab-notes.md).
    """

    _is_chunked = False

    def send(self, event: h11.Event) -> bytes | None:  # type: ignore[override]
        if self._is_chunked:
            if type(event) is h11.Data:
                data = event.data
                return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            self._is_chunked = False
        output = super().send(event)
        if type(event) is h11.Response and output is not None:
            self._is_chunked = b"\r\ntransfer-encoding: chunked\r\n" in output.lower()
        return output


class BoundedProtocol(H11Protocol):
    """One connection. See the module's docstring for the bounds."""

    receive_timeout_s: ClassVar[float] = 10.0
    stalled_reader_s: ClassVar[float] = STALLED_READER_S
    problem: Problem

    _patience: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = QuickConnection(
            h11.SERVER, self.config.h11_max_incomplete_event_size or MAX_INCOMPLETE_BYTES
        )

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_patience()
        self._end_stall()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY or self.conn.trailing_data[0]:
            self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall = self.loop.call_later(self.stalled_reader_s, self.transport.abort)

    def resume_writing(self) -> None:
        self._end_stall()
        super().resume_writing()

    def _watch(self) -> None:
        """Be patient for as long as the client owes us something, and only once for each debt."""
        is_answered = self.cycle is not None and self.cycle.response_complete
        owes_headers = self.conn.their_state is h11.IDLE
        owes_body = self.conn.their_state is h11.SEND_BODY and is_answered
        if self.transport.is_closing() or not (owes_headers or owes_body):
            self._end_patience()
        elif self._patience is None:
            self._patience = self.loop.call_later(self.receive_timeout_s, self._give_up)

    def _end_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _end_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _give_up(self) -> None:
        self._patience = None
        if self.transport.is_closing():
            return
        has_begun = bool(self.conn.trailing_data[0])
        if self.conn.their_state is h11.IDLE and self.conn.our_state is h11.IDLE and has_begun:
            self._refuse(
                RequestTimeout(
                    f"The headers were not complete within {self.receive_timeout_s:g} s: send "
                    "them at once."
                )
            )
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Uvicorn's answer to whatever h11 refuses, in our words."""
        limit = self.config.h11_max_incomplete_event_size or 0
        if len(self.conn.trailing_data[0]) > limit:
            self._refuse(HeadersTooLarge(f"The headers have more than {limit} bytes: send fewer."))
        else:
            self._refuse(InvalidRequest(msg))

    def _refuse(self, error: RequestError) -> None:
        """Answer a request that the application never saw, and close the connection."""
        body = self.problem(error)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        # A half-sent answer to an earlier, pipelined request leaves no room for another.
        with contextlib.suppress(h11.LocalProtocolError):
            response = h11.Response(status_code=error.status, headers=headers)
            for event in (response, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


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
