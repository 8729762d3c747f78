"""A client for streamed completions that costs so little that it can hold thousands of streams.

One raw asyncio protocol and one connection per stream (HTTP/1.1 over TCP or TLS). While tokens
arrive it notes the time and counts events in the bytes, and decodes nothing; only the end of the
stream is read as JSON, for the finish reason and the server's own count of tokens.

An event carries tokens unless it is the role's, the finish reason's or the usage's, which are known
by their bytes. That is so for content, for tool calls and for reasoning. Servers write their JSON
with or without spaces; the first event says which.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any, Self, cast
from urllib.parse import urlsplit

from benchmarks.trace import Trace
from models import tls

_EVENT = b'data: {"'  # in a text the quote would be escaped
_WITHOUT_TOKENS = (
    b'content":""',
    b'"text":""',
    b'"delta":{}',
    b'"choices":[]',
    b'"role":"assistant","content":null',
)
_SPACED = tuple(mark.replace(b":", b": ").replace(b",", b", ") for mark in _WITHOUT_TOKENS)
END_BYTES = 4096
"""The last events of a stream fit in here: finish reason, usage and [DONE]."""


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
        """A whole POST: to /chat/completions where the body has messages, else to /completions."""
        route = "/chat/completions" if "messages" in body else "/completions"
        payload = json.dumps(body).encode()
        key = f"Authorization: Bearer {self.api_key}\r\n" if self.api_key else ""
        head = (
            f"POST {self.path}{route} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n{key}"
            f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n"
            "Connection: close\r\n\r\n"
        )
        return head.encode() + payload


class _Stream(asyncio.Protocol):
    """Fills in the trace; ``over`` is done when there will be no more."""

    def __init__(self, request: bytes, trace: Trace, over: asyncio.Future[None]) -> None:
        self.trace = trace
        self._request = request
        self._over = over
        self._rest = b""  # an event that is not whole yet
        self._end = b""
        self._marks: tuple[bytes, ...] = ()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        at = time.monotonic()
        seen = self._end + data
        self._end = seen[-END_BYTES:]
        if self.trace.status is None:
            if len(seen) < len(b"HTTP/1.1 200"):
                return
            if not (seen.startswith(b"HTTP/1.") and seen[9:12].isdigit()):
                self._finish(at)  # without a status: no server of HTTP
                return
            self.trace.status = int(seen[9:12])
            data = seen
        if self.trace.status != 200:
            return  # a refusal; the server closes after it
        block, newline, rest = (self._rest + data).rpartition(b"\n")
        self._rest = rest
        if newline and (num_events := block.count(_EVENT)):
            if not self._marks:
                self._marks = _SPACED if b'": ' in block else _WITHOUT_TOKENS
            for mark in self._marks:
                num_events -= block.count(mark)
            if num_events > 0:
                self.trace.arrivals_at.extend([at] * num_events)
        if self._end.endswith(b"0\r\n\r\n"):
            self._finish(at)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        self._finish(time.monotonic())

    def _finish(self, at: float) -> None:
        if self._over.done():
            return
        self.trace.finished_at = at
        self.trace.error = _read_end(self.trace, self._end)
        if self._transport is not None:
            self._transport.close()
        self._over.set_result(None)


def _read_end(trace: Trace, end: bytes) -> str | None:
    """Finish reason and usage from a stream's last bytes; what is missing is the error."""
    if trace.status != 200:
        shown = end.partition(b"\r\n\r\n")[2][:300].decode("utf-8", "replace")
        return f"status {trace.status}: {shown}" if trace.status else "the connection was closed"
    is_done = False
    for line in end.split(b"\n"):
        if line.startswith(b"data: [DONE]"):
            is_done = True
        elif line.startswith(_EVENT):
            try:
                event = json.loads(line[6:])
            except ValueError:  # the rest of an event whose beginning is gone
                continue
            if event.get("error"):
                return f"error in the stream: {json.dumps(event['error'])[:300]}"
            _read_event(trace, event)
    if trace.finish_reason is None or not is_done:
        return f"the stream ended after {len(trace.arrivals_at)} chunks without reason and [DONE]"
    return None


def _read_event(trace: Trace, event: dict[str, Any]) -> None:
    usage = event.get("usage") or {}
    trace.prompt_tokens = usage.get("prompt_tokens", trace.prompt_tokens)
    trace.completion_tokens = usage.get("completion_tokens", trace.completion_tokens)
    details = usage.get("prompt_tokens_details") or {}
    trace.cached_tokens = details.get("cached_tokens") or trace.cached_tokens
    for choice in event.get("choices") or []:
        trace.finish_reason = choice.get("finish_reason") or trace.finish_reason


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
    trace = Trace(due_at=due_at, sent_at=time.monotonic())
    transport: asyncio.Transport | None = None
    try:
        async with asyncio.timeout(timeout_s):
            transport, _ = await loop.create_connection(
                lambda: _Stream(request, trace, over),
                endpoint.host,
                endpoint.port,
                ssl=ssl.create_default_context() if endpoint.is_tls else None,
            )
            await over
    except TimeoutError:
        trace.error = f"no end within {timeout_s:g} s; {len(trace.arrivals_at)} chunks came"
    except OSError as error:
        trace.error = f"no connection: {error}"
    finally:
        if transport is not None:
            transport.close()
    if trace.finished_at is None:
        trace.finished_at = time.monotonic()
    if trace.error is None and not trace.completion_tokens:
        trace.error = "the server told no usage: it must honour stream_options.include_usage"
    return trace


def free_port() -> int:
    """A port of loopback that was free a moment ago, for a server of our own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
