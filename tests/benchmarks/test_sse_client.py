"""The load client counts what a stream says, however TCP cuts it."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.many_streams import Plan, run
from benchmarks.sse_client import StreamTrace, _Stream, request_bytes, stream

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def event(document: object) -> bytes:
    text = document if isinstance(document, str) else json.dumps(document, separators=(",", ":"))
    data = f"data: {text}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


def chunk(delta: dict[str, str], reason: str | None = None) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}], "usage": None}


ROLE = chunk({"role": "assistant", "content": ""})
WORDS = [chunk({"content": word}) for word in ("a", ' data: "delta":{"content":', "b\n\n", "é")]
LAST = [chunk({}, "length"), {"choices": [], "usage": {"completion_tokens": 9}}, "[DONE]"]
WHOLE = HEAD + b"".join(map(event, [ROLE, *WORDS, *LAST])) + b"0\r\n\r\n"


class Transport(asyncio.Transport):
    """A socket that takes everything; the real one is in the test of many_streams below."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent = bytes(data)

    def close(self) -> None:
        self.is_closed = True


def fed(pieces: list[bytes]) -> StreamTrace:
    loop = asyncio.new_event_loop()
    protocol = _Stream(b"ask", loop.create_future())
    protocol.connection_made(Transport())
    for piece in pieces:
        protocol.data_received(piece)
    protocol.connection_lost(None)
    loop.close()
    return protocol.trace


@given(st.sets(st.integers(1, len(WHOLE) - 1)))
def test_cuts_change_nothing(cuts: set[int]) -> None:
    edges = [0, *sorted(cuts), len(WHOLE)]
    trace = fed([WHOLE[a:b] for a, b in pairwise(edges)])
    assert trace.error is None
    assert (len(trace.arrivals_at), trace.completion_tokens) == (len(WORDS), 9)
    assert trace.finish_reason == "length"


def test_what_ends_too_soon_is_an_error() -> None:
    assert "lost after 4 chunks" in str(fed([WHOLE[: WHOLE.index(b'"length"')]]).error)
    body = b"".join(map(event, [ROLE, *WORDS])) + b"0\r\n\r\n"
    assert "no finish reason" in str(fed([HEAD + body]).error)
    refusal = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}"
    assert "503" in str(fed([refusal]).error)


async def test_no_server_is_an_error_in_the_trace() -> None:
    trace = await stream("127.0.0.1", 9, request_bytes("127.0.0.1", {}))
    assert "no connection" in str(trace.error)


def test_many_streams_end_to_end() -> None:
    figures = run(Plan(streams=40, rate=50, seconds=1))
    assert (figures["dropped"], figures["errors"]) == (0, [])
    assert figures["tokens"] == 40 * 50
