"""One connection: uvicorn's HTTP protocol with h11, and bounds on what it leaves unbounded.

h11 because it bounds a request's headers; httptools took 200 MB of them (measured). What no parser
bounds is time, and how much of the event loop one client may have. ``BoundedProtocol``

- reads strictly and some bytes at a time (``framing``), and leaves the loop to others in between
  (``turns``);
- closes whose request headers are not complete ``receive_timeout_s`` after their first byte (or
  after the connection was made, if there is none);
- stops reading a body once its request is answered: the answer says ``Connection: close``;
- closes whose client has not taken a byte of the answer for STALLED_READER_S, which frees its slot;
- goes on reading while a request runs, so that it learns when the client leaves.

A client that ends its sending side (``shutdown(SHUT_WR)``) has left, also if it would still read:
one that is gone looks the same until it is written to, and a whole answer is written at its end.

Over TLS all of it holds for the bytes within: a connection is made when its handshake is done,
which ``server.py`` bounds. TLS has no half-closed sending side here, so a client that waits for the
end of a refused request's connection sees it after LINGER_S.

A connection is closed when the client has had time to take the answer (RFC 9112, section 9.6): its
bytes are thrown away for at most LINGER_S seconds and LINGER_BYTES, else the kernel would answer
them by a reset, which can take the answer away.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol

from serve.api.http.client_certificates import of_transport, with_certificate
from serve.api.http.framing import Framing
from serve.api.http.problems import Problem
from serve.api.http.quick_connection import CLOSE, QuickConnection
from serve.api.http.turns import Turns
from serve.errors import InvalidRequest, RequestError, RequestTimeout

STALLED_READER_S = 60.0
MAX_INCOMPLETE_BYTES = 16_384
MAX_AHEAD_BYTES = 65_536
"""That many bytes wait behind a request that runs; after AHEAD_S with more all are dropped."""
AHEAD_S = 0.5
LINGER_S = 2.0
LINGER_BYTES = 16 * 2**20
UNTAKEN_BYTES = 65_536
"""That much of an answer may wait to be encrypted; as much waits to be sent, as without TLS."""
_BYTES_A_UNIT = 1024  # of bytes that are thrown away


class LingeringTransport:
    """A transport whose ``close`` asks the connection, which may have reason to wait."""

    __slots__ = ("_protocol", "_transport", "abort", "get_extra_info", "write")

    def __init__(self, transport: asyncio.Transport, protocol: BoundedProtocol) -> None:
        self._transport = transport
        self._protocol = protocol
        # Each token is written: no step more than there was.
        self.write = transport.write
        self.abort = transport.abort
        self.get_extra_info = transport.get_extra_info

    def close(self) -> None:
        self._protocol.close()

    def is_closing(self) -> bool:
        return self._protocol.is_leaving or self._transport.is_closing()


class BoundedFlow(FlowControl):
    """Uvicorn's flow control, whose wish to read or not is one of the connection's reasons."""

    def __init__(self, transport: asyncio.Transport, on_change: Callable[[], None]) -> None:
        super().__init__(transport)
        self._on_change = on_change

    def pause_reading(self) -> None:
        self.read_paused = True

    def resume_reading(self) -> None:
        if self.read_paused:
            self.read_paused = False
            self._on_change()


class BoundedProtocol(H11Protocol):
    """One connection. See the module's docstring for the bounds."""

    receive_timeout_s: ClassVar[float] = 10.0
    stalled_reader_s: ClassVar[float] = STALLED_READER_S
    problem: Problem
    turns: ClassVar[Turns]

    conn: QuickConnection
    is_leaving = False

    _patience: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None
    _ahead: asyncio.TimerHandle | None = None
    _end: asyncio.TimerHandle | None = None
    _socket: asyncio.Transport
    _is_queued = False
    _is_paused = False
    _is_dropping = False
    _num_dropped_bytes = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        limit = self.config.h11_max_incomplete_event_size or MAX_INCOMPLETE_BYTES
        self.conn = QuickConnection(h11.SERVER, limit)
        self.framing = Framing(limit)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._socket = transport
        self.transport = LingeringTransport(transport, self)  # type: ignore[assignment]
        self.flow = BoundedFlow(transport, self._advance)
        if self.scheme == "https":
            self._over_tls(transport)
        self._watch()

    def _over_tls(self, transport: asyncio.Transport) -> None:
        """Bound what waits as without TLS, and tell the application who the client is."""
        transport.set_write_buffer_limits(high=UNTAKEN_BYTES)  # else 512 KiB
        certificate = of_transport(transport)
        if certificate is not None:
            self.app = with_certificate(self.app, certificate)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_leaving = True
        for timer in (self._patience, self._stall, self._ahead, self._end):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    # What the client sends

    def data_received(self, data: bytes) -> None:
        if self._is_dropping:
            self._drop(len(data))
            return
        self._unset_keepalive_if_required()
        self.framing.feed(data)
        self._advance()
        self._watch()

    def eof_received(self) -> None:
        """The client has left. The transport closes when what was written is out."""
        self.is_leaving = True

    @property
    def _runs(self) -> bool:
        """Whether a request is under way."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _can_work(self) -> bool:
        """Whether there are bytes that may be read now."""
        if self.is_leaving or self.framing.is_starved or self.flow.read_paused:
            return False
        return self.conn.our_state is h11.IDLE or not self.framing.is_between_requests

    def work(self) -> None:
        """Read one piece of what has arrived, or again from the socket. The queue's turn."""
        self._is_queued = False
        if self._can_work:
            self._take()
        if self._can_work:
            self._enqueue()
        self._regulate()
        self._watch()

    def _advance(self) -> None:
        """Read a piece at once if this turn has room for it; queue for what is left."""
        if self._can_work and not self._is_queued:
            if self.turns.has_room:
                self._take()
            if self._can_work:
                self._enqueue()
        self._regulate()

    def _take(self) -> None:
        try:
            piece = self.framing.take()
        except RequestError as error:
            self.turns.spend(1)
            self._refuse(error)
            return
        self.turns.spend(piece.cost)
        if piece.data:
            self.conn.receive_data(piece.data)
            self.handle_events()

    def _enqueue(self) -> None:
        if not self._is_queued:
            self._is_queued = True
            self.turns.enqueue(self)

    def _regulate(self) -> None:
        """Read from the socket, or not: not what could not be worked on soon."""
        is_ahead = not self._is_dropping and len(self.framing) > MAX_AHEAD_BYTES
        should_pause = self._is_queued or is_ahead
        if not self._is_dropping:
            should_pause = should_pause or self.flow.read_paused
        if should_pause is not self._is_paused and not self._socket.is_closing():
            self._is_paused = should_pause
            if should_pause:
                self._socket.pause_reading()
            else:
                self._socket.resume_reading()
        if is_ahead and self._ahead is None and self._runs and not self._is_queued:
            self._ahead = self.loop.call_later(AHEAD_S, self._drop_ahead, self.cycle)

    def _drop_ahead(self, cycle: object) -> None:
        """Read and drop all behind a request that takes its time: else its end is never seen."""
        self._ahead = None
        if cycle is self.cycle and self._runs and len(self.framing) > MAX_AHEAD_BYTES:
            self.cycle.keep_alive = False
            self.conn.is_last = True
            self._start_dropping()

    def _start_dropping(self) -> None:
        self._is_dropping = True
        self._drop(len(self.framing))
        self.framing.clear()

    def _drop(self, num_bytes: int) -> None:
        self._num_dropped_bytes += num_bytes
        if self._num_dropped_bytes > LINGER_BYTES:
            self._socket.abort()
            return
        self.turns.spend(1 + num_bytes // _BYTES_A_UNIT)
        if num_bytes >= MAX_AHEAD_BYTES:
            self._enqueue()  # the next piece in another turn
        self._regulate()

    # The end of a request, and of the connection

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._advance()
        self._watch()

    def close(self) -> None:
        """Close the connection when what was written is out, and the client may have read it."""
        if self.is_leaving or self._socket.is_closing():
            self._socket.close()
            return
        self.is_leaving = True
        self._end_patience()
        owes = self.conn.their_state in (h11.SEND_BODY, h11.ERROR) or len(self.framing)
        if not (owes or self._is_dropping):
            self._socket.close()
            return
        if self._socket.can_write_eof():
            self._socket.write_eof()
        self._end = self.loop.call_later(LINGER_S, self._socket.close)
        self._start_dropping()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall = self.loop.call_later(self.stalled_reader_s, self._socket.abort)

    def resume_writing(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        super().resume_writing()

    def _watch(self) -> None:
        """Be patient while the client owes us headers, and only once for each."""
        owes_headers = self.conn.their_state is h11.IDLE
        is_idle = self._patience is None and self.cycle is not None and not len(self.framing)
        if self.is_leaving or not owes_headers:
            self._end_patience()
        elif self._patience is None and not (is_idle and self.timeout_keep_alive_task):
            self._patience = self.loop.call_later(self.receive_timeout_s, self._give_up)

    def _end_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        self._patience = None
        if self.conn.our_state is h11.IDLE and len(self.framing):
            self._refuse(
                RequestTimeout(
                    f"The headers were not complete within {self.receive_timeout_s:g} s: send "
                    "them at once."
                )
            )
        else:
            self.close()

    def send_400_response(self, msg: str) -> None:
        """Uvicorn's answer to whatever h11 refuses, in our words."""
        self._refuse(InvalidRequest(msg))

    def _refuse(self, error: RequestError) -> None:
        """Answer a request that the application never saw all of, and close the connection."""
        body = self.problem(error)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            CLOSE,
        ]
        # An answer that has begun leaves no room for another.
        with contextlib.suppress(h11.LocalProtocolError):
            response = h11.Response(status_code=error.status, headers=headers)
            for event in (response, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        if self._runs:  # the application waits for the rest of a body, in vain
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._is_dropping = True
        self.close()
