"""A client for streamed completions that costs so little that it can hold thousands of streams.

One asyncio protocol and one connection per stream (HTTP/1.1 over TCP or TLS). httptools, which
uvicorn reads requests with, reads the answer: any status line, interim answers, chunks, a length,
or an end by closing. Each event is read as JSON (events.py); tokens are the server's own count.
"""

from __future__ import annotations

import asyncio
import functools
import json
import ssl
import time
from dataclasses import dataclass
from typing import Any, Self, cast
from urllib.parse import urlsplit

import httptools

from benchmarks.serving import own_errors
from benchmarks.serving.events import EventReader
from benchmarks.trace import Trace
from models import tls

OK = 200
_LENIENCIES = {
    "lenient_optional_cr_before_lf": True,
    "lenient_optional_lf_after_cr": True,
    "lenient_optional_crlf_after_chunk": True,
    "lenient_spaces_after_chunk_size": True,
    "lenient_chunked_length": True,
    "lenient_data_after_close": True,
}
"""What servers write beside the standard, and what can be understood all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """The address of a server's API.

    Attributes:
        path: of the API, without the route: ``/v1``.
        is_tls: certificates are checked against the system's.
    """

    host: str
    port: int
    path: str
    is_tls: bool
    api_key: str | None = None

    @classmethod
    def parse(cls, url: str, api_key: str | None = None) -> Self:
        """Read an address such as ``http://host:8000``, with or without ``/v1``.

        Raises:
            ValueError: it is no such address.
            CertificatesError: it is https, and the certificates to trust cannot be read.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"--url {url}: an address such as http://127.0.0.1:8000 is needed")
        path = parts.path.rstrip("/")
        is_tls = parts.scheme == "https"
        if is_tls:
            tls.check_certificates()
        return cls(
            host=parts.hostname,
            port=parts.port or (443 if is_tls else 80),
            path=path if path.endswith("/v1") else f"{path}/v1",
            is_tls=is_tls,
            api_key=api_key,
        )

    @property
    def url(self) -> str:
        scheme = "https" if self.is_tls else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}{self.path}"

    def request(self, body: dict[str, Any]) -> bytes:
        """A whole POST to the body's route."""
        route = route_of(body)
        payload = json.dumps(body).encode()
        key = f"Authorization: Bearer {self.api_key}\r\n" if self.api_key else ""
        head = (
            f"POST {self.path}{route} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n{key}"
            f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n"
            "Connection: close\r\n\r\n"
        )
        return head.encode() + payload


def route_of(body: dict[str, Any]) -> str:
    """/chat/completions where the body has messages, else /completions."""
    return "/chat/completions" if "messages" in body else "/completions"


class _Stream(asyncio.Protocol):
    """Fills in the trace; ``over`` is done when there will be no more."""

    def __init__(self, request: bytes, trace: Trace, over: asyncio.Future[None]) -> None:
        self.trace = trace
        self._request = request
        self._over = over
        self._events = EventReader(trace)
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(**_LENIENCIES)
        self._is_whole = False  # the answer's end was told, by its length or its last chunk
        self._at = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if self._over.done():
            return
        self._at = time.monotonic()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._finish(f"no HTTP that can be read: {error}")
        else:
            if self._is_whole:
                self._finish()

    def on_headers_complete(self) -> None:  # of httptools, as the next two
        self.trace.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._events.feed(body, self._at)

    def on_message_complete(self) -> None:
        # Interim answers, 100 and 103, come before the one that counts (RFC 9110, section 15.2).
        if self.trace.status is not None and self.trace.status >= OK:
            self._is_whole = True
        else:
            self.trace.status = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._at = time.monotonic()
        self._finish(f"the connection was lost: {exc}" if exc else "the connection was closed")

    def _finish(self, cut: str | None = None) -> None:
        """The end, or what cut the answer short."""
        if self._over.done():
            return
        self._events.finish(self._at)
        self.trace.finished_at = self._at
        self.trace.error = self._error(cut)
        if self._transport is not None:
            self._transport.close()
        self._over.set_result(None)

    def _error(self, cut: str | None) -> str | None:
        trace, events = self.trace, self._events
        shown = events.beginning.decode("utf-8", "replace")
        if trace.status is None:
            return cut or "no status came"
        if trace.status != OK:
            return f"status {trace.status}: {shown}"
        if events.error is not None:
            return events.error
        if not events.num_events:
            return f"no stream of events, but: {shown}" if shown else f"an empty answer ({cut})"
        # Without a length or chunks the end of the connection is the answer's; a reason, and [DONE]
        # or an end that was told, tell it from one that was cut short.
        if trace.finish_reason is None or not (events.is_done or self._is_whole):
            why = "without reason and [DONE]" if cut is None else f"by then {cut}"
            return f"the stream ended after {len(trace.arrivals_at)} chunks, {why}"
        return None


async def stream(
    endpoint: Endpoint, request: bytes, *, due_at: float | None = None, timeout_s: float = 600.0
) -> Trace:
    """Send one request and read its stream to the end. Errors are in the trace.

    Args:
        endpoint: where.
        request: made by ``Endpoint.request``; to be streamed, with usage.
        due_at: when it should be sent, for the record.
        timeout_s: for the whole of it.
    """
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    context = trusting() if endpoint.is_tls else None
    trace = Trace(due_at=due_at, sent_at=time.monotonic())
    transport: asyncio.Transport | None = None
    try:
        async with asyncio.timeout(timeout_s):
            transport, _ = await loop.create_connection(
                lambda: _Stream(request, trace, over), endpoint.host, endpoint.port, ssl=context
            )
            await over
    except TimeoutError:
        trace.is_own_error = True
        trace.error = (
            f"given up after {timeout_s:g} s (--timeout): no end by then; "
            f"{len(trace.arrivals_at)} chunks came"
        )
    except OSError as error:
        own = own_errors.words(error)
        trace.is_own_error = own is not None
        trace.error = f"no connection: {own or error}"
    finally:
        if transport is not None:
            transport.close()
    if trace.finished_at is None:
        trace.finished_at = time.monotonic()
    if trace.error is None and not trace.completion_tokens:
        trace.completion_tokens = len(trace.arrivals_at)
        trace.has_usage = False
    return trace


@functools.cache
def trusting() -> ssl.SSLContext:
    """The one context of all connections: making it reads the system's certificates."""
    return ssl.create_default_context()
