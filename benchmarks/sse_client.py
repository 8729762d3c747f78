"""A client for streamed completions that costs so little that it can hold thousands of streams.

One raw asyncio protocol per stream (HTTP/1.1 over TCP, no TLS). While tokens arrive it notes the
time and counts the content chunks in the bytes, and decodes nothing; only the end of the stream is
read as JSON, for the finish reason and the server's own count of tokens.
"""

from __future__ import annotations

import asyncio
import json
import time
from array import array
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast

CONTENT = b'"delta":{"content":"'
END_BYTES = 4096
"""The last events of a stream fit in here: finish reason, usage and [DONE]."""


@dataclass(slots=True)
class StreamTrace:
    """What one stream was seen to do. Times are monotonic seconds.

    Attributes:
        arrivals_at: of each content chunk; chunks that arrive together share a time.
        error: None for a stream with a finish reason and ``[DONE]``.
    """

    sent_at: float = 0.0
    arrivals_at: array[float] = field(default_factory=lambda: array("d"))
    completion_tokens: int = 0
    finish_reason: str | None = None
    error: str | None = "not ended"

    @property
    def ttft_s(self) -> float | None:
        return self.arrivals_at[0] - self.sent_at if self.arrivals_at else None

    @property
    def gaps_s(self) -> list[float]:
        """Between one content chunk and the next."""
        at = self.arrivals_at
        return [later - earlier for earlier, later in pairwise(at)]


class _Stream(asyncio.Protocol):
    def __init__(self, request: bytes, over: asyncio.Future[None]) -> None:
        self.trace = StreamTrace()
        self._request = request
        self._over = over
        self._end = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.trace.sent_at = time.monotonic()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        at = time.monotonic()
        # What may be the start of a mark that was cut in two comes again before the next piece.
        joined = self._end[1 - len(CONTENT) :] + data
        self.trace.arrivals_at.extend([at] * joined.count(CONTENT))
        self._end = (self._end + data)[-END_BYTES:]
        if self._end.endswith(b"0\r\n\r\n") or not self._is_stream():
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        if not self._over.done():
            self.trace.error = f"the connection was lost after {len(self.trace.arrivals_at)} chunks"
            self._over.set_result(None)

    def _is_stream(self) -> bool:
        return bool(self.trace.arrivals_at) or b" 200 " in self._end[:16] or len(self._end) < 16

    def _finish(self) -> None:
        if self._over.done():
            return
        _read_end(self.trace, self._end)
        if self._transport is not None:
            self._transport.close()
        self._over.set_result(None)


def _read_end(trace: StreamTrace, end: bytes) -> None:
    """Finish reason and usage from a stream's last bytes; what is missing is the error."""
    is_done = False
    for line in end.split(b"\n"):
        if line.startswith(b"data: [DONE]"):
            is_done = True
        elif line.startswith(b"data: {") and line.endswith(b"}"):
            event = json.loads(line[6:])
            trace.completion_tokens = (event.get("usage") or {}).get("completion_tokens", 0)
            for choice in event.get("choices") or []:
                trace.finish_reason = choice.get("finish_reason") or trace.finish_reason
    trace.error = None
    if trace.finish_reason is None or not is_done:
        shown = end[-300:].decode("utf-8", "replace")
        trace.error = f"no finish reason or no [DONE] at the end: {shown}"


def request_bytes(host: str, body: dict[str, Any], api_key: str | None = None) -> bytes:
    """A whole POST to /v1/chat/completions."""
    payload = json.dumps(body).encode()
    key = f"Authorization: Bearer {api_key}\r\n" if api_key else ""
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\n{key}"
        f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload


async def stream(host: str, port: int, request: bytes) -> StreamTrace:
    """Send one request and read its stream to the end. Errors are in the trace."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    try:
        transport, protocol = await loop.create_connection(
            lambda: _Stream(request, over), host, port
        )
    except OSError as error:
        return StreamTrace(error=f"no connection: {error}")
    try:
        await over
    finally:
        transport.close()
    return protocol.trace
