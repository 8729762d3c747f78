"""The HTTP client that huggingface_hub is given: a hub cannot fill the memory or hold us for ever.

What a hub says about a model is a few megabytes of JSON; what it says when it refuses is a few
lines. Answers of other sizes, in a compressed form (whose size nobody knows before), or at a drip
are ended. A file's bytes are bounded by its size in the listing (transfer.py).

What comes before an answer is bounded as well. The client reads "100 Continue" as often as it is
sent, and begins its time-out anew with each byte: so bytes and time are counted where it reads from
its connections.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

import httpcore2
import httpx2
from huggingface_hub import close_session, get_session

MAX_LISTING_BYTES = 16 << 20
"""Most of an answer of the API: some 50,000 files. The largest seen has 3 MB."""
MAX_REFUSAL_BYTES = 1 << 20
MAX_HEAD_BYTES = 1 << 18
"""Most of an answer's status line and headers, and of what is sent before them."""
FREE_PIECES, LEAST_PIECE_BYTES = 20_000, 64
"""Beyond so many pieces they have so many bytes on average: each costs as much as a large one."""


class HubFaultError(httpx2.HTTPError):
    """An answer that no hub should give; the message says which, and no address with a query."""


class DripError(httpx2.TransportError):
    """Bytes come so slowly that they may never end."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The slowest that an answer may come: ``least_bytes`` in each ``window_s``."""

    least_bytes: int = 16 << 10
    window_s: float = 60.0


pace = Pace()
"""For all clients of this process. Tests have less patience."""


class _Waiting(threading.local):
    """The head of an answer that this thread waits for.

    Attributes:
        host: None where it waits for none.
        num_bytes: that came.
        begun_at: when the first of them came.
    """

    host: str | None = None
    num_bytes: int = 0
    begun_at: float = 0.0

    def took(self, num_bytes: int) -> None:
        """Count bytes.

        Raises:
            HubFaultError: there are more than a head has.
            DripError: the first of them came long ago.
        """
        if self.host is None:
            return
        now = monotonic()
        if not self.num_bytes:
            self.begun_at = now
        self.num_bytes += num_bytes
        if self.num_bytes > MAX_HEAD_BYTES:
            raise HubFaultError(
                f"{self.host} sends {self.num_bytes:,} bytes before its answer begins; at most "
                f"{MAX_HEAD_BYTES:,} are read."
            )
        if now - self.begun_at > pace.window_s:
            raise DripError(
                f"{self.num_bytes:,} bytes in {now - self.begun_at:.0f} s, and no answer"
            )


_waiting = _Waiting()


class _Stream(httpcore2.NetworkStream):
    """A connection that counts what it reads."""

    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = self._stream.read(max_bytes, timeout)
        _waiting.took(len(data))
        return data

    def start_tls(self, *args: Any, **options: Any) -> httpcore2.NetworkStream:
        return _Stream(self._stream.start_tls(*args, **options))


class _Backend(httpcore2.NetworkBackend):
    """Connections that count what they read."""

    def __init__(self, backend: httpcore2.NetworkBackend) -> None:
        self._backend = backend

    def sleep(self, seconds: float) -> None:
        self._backend.sleep(seconds)

    def connect_tcp(self, *args: Any, **options: Any) -> httpcore2.NetworkStream:
        return _Stream(self._backend.connect_tcp(*args, **options))

    def connect_unix_socket(self, *args: Any, **options: Any) -> httpcore2.NetworkStream:
        return _Stream(self._backend.connect_unix_socket(*args, **options))


class _Bounded(httpx2.SyncByteStream):
    """A body of at most so many bytes, and at no slower a pace.

    Args:
        stream: the body as it comes.
        max_bytes: None for a file, which has another bound.
        host: for the messages.
    """

    def __init__(self, stream: httpx2.SyncByteStream, max_bytes: int | None, host: str) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._host = host

    def __iter__(self) -> Iterator[bytes]:
        num_bytes = in_window = 0
        begun_at = monotonic()
        for num_pieces, chunk in enumerate(self._stream, 1):
            num_bytes += len(chunk)
            in_window += len(chunk)
            if num_pieces > FREE_PIECES and num_bytes < num_pieces * LEAST_PIECE_BYTES:
                raise HubFaultError(f"{self._host} sends its answer in pieces of a few bytes.")
            if self._max_bytes is not None and num_bytes > self._max_bytes:
                raise HubFaultError(
                    f"{self._host} sends more than the {self._max_bytes:,} bytes that such an "
                    "answer may have."
                )
            elapsed_s = monotonic() - begun_at
            if elapsed_s >= pace.window_s:
                if in_window < pace.least_bytes:
                    raise DripError(f"{in_window:,} bytes in {elapsed_s:.0f} s")
                in_window, begun_at = 0, monotonic()
            yield chunk

    def close(self) -> None:
        self._stream.close()


@contextmanager
def answered_within(seconds: float) -> Iterator[None]:
    """Close the client, so that what is within fails, where it takes longer than so many seconds.

    The client's own time-outs begin anew with each byte, and with each "100 Continue".
    """
    timer = threading.Timer(seconds, close_session)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def use() -> httpx2.Client:
    """huggingface_hub's client of this process, which is bounded from now on."""
    client = get_session()
    hooks = client.event_hooks
    if _bound not in hooks["response"]:
        client.event_hooks = {
            "request": [*hooks["request"], _ask_plain],
            "response": [*hooks["response"], _bound],
        }
        # Neither of the two libraries has a way in that is meant for others.
        for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001
            if isinstance(transport, httpx2.HTTPTransport):
                pool = transport._pool  # noqa: SLF001
                pool._network_backend = _Backend(pool._network_backend)  # noqa: SLF001
    return client


def _ask_plain(request: httpx2.Request) -> None:
    request.headers["Accept-Encoding"] = "identity"

    def trace(name: str, _info: object) -> None:
        if name.endswith("receive_response_headers.started"):
            _waiting.host, _waiting.num_bytes = request.url.host, 0
        elif name.endswith(
            ("receive_response_headers.complete", "receive_response_headers.failed")
        ):
            _waiting.host = None

    request.extensions["trace"] = trace


def _bound(response: httpx2.Response) -> None:
    host = response.request.url.host
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise HubFaultError(
            f"{host} answers in a compressed form ({encoding[:20]!r}) that was not asked for."
        )
    max_bytes = None
    if not response.is_success:
        max_bytes = MAX_REFUSAL_BYTES
    elif "/api/" in response.request.url.path:
        max_bytes = MAX_LISTING_BYTES
    if isinstance(response.stream, httpx2.SyncByteStream):
        response.stream = _Bounded(response.stream, max_bytes, host)
