"""The load client counts what a stream says, however TCP cuts it."""

from __future__ import annotations

import asyncio
import json
import resource
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.metrics.load import Load
from benchmarks.serving.client import Endpoint, _Stream, stream
from benchmarks.trace import Trace
from tests.benchmarks.serving.stub import Stub, serving
from tests.certificates import server_context

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def event(document: object, separators: tuple[str, str] = (",", ":")) -> bytes:
    text = document if isinstance(document, str) else json.dumps(document, separators=separators)
    data = f"data: {text}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


def chunk(delta: dict[str, object], reason: str | None = None) -> dict[str, object]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}], "usage": None}


ROLE = chunk({"role": "assistant", "content": ""})
CALL = chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]})
WORDS = [chunk({"content": word}) for word in ("a", ' data: {"content":""', "b\n\n", "é")]
USAGE = {"prompt_tokens": 4, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 2}}
LAST = [chunk({}, "length"), {"choices": [], "usage": USAGE}, "[DONE]"]
WHOLE = HEAD + b"".join(map(event, [ROLE, *WORDS, CALL, *LAST])) + b"0\r\n\r\n"


class Transport(asyncio.Transport):
    """A socket that takes everything; the real one is in test_hold.py."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent = bytes(data)

    def close(self) -> None:
        self.is_closed = True


def fed(pieces: list[bytes]) -> Trace:
    loop = asyncio.new_event_loop()
    protocol = _Stream(b"ask", Trace(), loop.create_future())
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
    assert len(trace.arrivals_at) == len(WORDS) + 1
    assert (trace.prompt_tokens, trace.completion_tokens, trace.cached_tokens) == (4, 9, 2)
    assert (trace.finish_reason, trace.status) == ("length", 200)


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
@pytest.mark.parametrize(
    ("first", "last"),
    [
        ({"role": "assistant", "content": ""}, {}),
        ({"role": "assistant", "content": None}, {"content": ""}),
    ],
)
def test_whatever_a_server_writes_only_tokens_count(separators, first, last) -> None:
    documents = [chunk(first), *WORDS, chunk(last, "stop"), *LAST[1:]]
    trace = fed([HEAD, *(event(each, separators) for each in documents), b"0\r\n\r\n"])
    assert (trace.error, len(trace.arrivals_at)) == (None, len(WORDS))


def test_text_completions_count_alike() -> None:
    def text(value: str, reason: str | None = None) -> dict[str, object]:
        return {"choices": [{"index": 0, "text": value, "finish_reason": reason}]}

    documents = [text("a"), text("b"), text("", "length"), *LAST[1:]]
    trace = fed([HEAD, *map(event, documents), b"0\r\n\r\n"])
    assert (trace.error, len(trace.arrivals_at)) == (None, 2)


def test_what_ends_too_soon_is_an_error() -> None:
    assert "after 5 chunks" in str(fed([WHOLE[: WHOLE.index(b'"length"')]]).error)
    body = b"".join(map(event, [ROLE, *WORDS])) + b"0\r\n\r\n"
    assert "without reason" in str(fed([HEAD + body]).error)
    failed = event({"error": {"code": "engine_dead"}})
    assert "engine_dead" in str(fed([HEAD, event(ROLE), failed, b"0\r\n\r\n"]).error)
    assert "closed" in str(fed([]).error)
    without_end = WHOLE[: WHOLE.index(b"data: [DONE]")]
    assert "the connection was closed" in str(fed([without_end]).error)


BODY = b"".join(
    b"data: " + text.encode() + b"\n\n"
    for text in (*(json.dumps(each) for each in (ROLE, *WORDS, *LAST[:2])), "[DONE]")
)
LENGTH = b"content-length: %d\r\n" % len(BODY)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n" + LENGTH + b"\r\n",
        b"HTTP/1.1 200\r\n" + LENGTH + b"\r\n",
        b"HTTP/1.1 200 \r\n" + LENGTH + b"\r\n",
        b"HTTP/1.1 200 Quite all right\r\nCONTENT-TYPE: text/event-stream\r\n\r\n",
        b"HTTP/1.1 200 OK\n" + LENGTH.replace(b"\r", b"") + b"\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n",
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n",
    ],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_any_status_line_and_any_end_of_the_body(head: bytes, size: int) -> None:
    whole = head + BODY
    trace = fed([whole[at : at + size] for at in range(0, len(whole), size)])
    assert (trace.error, trace.status, len(trace.arrivals_at)) == (None, 200, len(WORDS))
    assert trace.completion_tokens == 9


def test_an_end_that_the_protocol_told_needs_no_done() -> None:
    body = b"".join(map(event, [*WORDS, *LAST[:2]])) + b"0\r\n\r\n"
    assert fed([HEAD + body]).error is None
    assert "the connection was closed" in str(fed([HEAD + body[:-5]]).error)


def test_an_answer_that_is_no_stream_is_shown() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n"
    assert fed([head + b'{"model": 1}']).error == 'no stream of events, but: {"model": 1}'


def test_a_refusal_keeps_its_status_and_text() -> None:
    refused = fed([b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n", b"{}"])
    assert (refused.status, refused.error) == (503, "status 503: {}")


async def test_no_server_is_an_error_in_the_trace() -> None:
    endpoint = Endpoint.parse("http://127.0.0.1:9")
    trace = await stream(endpoint, endpoint.request({}))
    assert "no connection" in str(trace.error)
    assert trace.finished_at is not None


async def test_a_server_that_never_ends_is_given_up() -> None:
    gone = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        gone.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    endpoint = Endpoint.parse(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    trace = await stream(endpoint, endpoint.request({}), timeout_s=0.05)
    assert "given up after 0.05 s" in str(trace.error)
    assert trace.is_own_error
    await gone.wait()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("http://host/v1/", "http://host:80/v1"),
        ("https://[::1]/api", "https://[::1]:443/api/v1"),
    ],
)
def test_addresses(url: str, expected: str) -> None:
    assert Endpoint.parse(url).url == expected


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "http://"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is needed"):
        Endpoint.parse(url)


def test_the_route_follows_the_body_and_the_key_is_sent() -> None:
    endpoint = Endpoint.parse("http://h", "sk-1")
    assert endpoint.request({"messages": []}).startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    asked = endpoint.request({"prompt": "x"})
    assert asked.startswith(b"POST /v1/completions HTTP/1.1\r\n")
    assert b"Authorization: Bearer sk-1\r\n" in asked


def test_a_whole_answer_may_come_at_once() -> None:
    words = [chunk({"content": "word"})] * 100
    trace = fed([HEAD + b"".join(map(event, [ROLE, *words, *LAST])) + b"0\r\n\r\n"])
    assert (trace.error, trace.status, len(trace.arrivals_at)) == (None, 200, 100)


@pytest.mark.parametrize("said", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 abc OK\r\n\r\n"])
def test_what_is_no_http_is_an_error_of_the_trace(said: bytes) -> None:
    assert "no HTTP that can be read" in str(fed([said, said]).error)


async def test_without_usage_chunks_are_counted_and_it_is_told() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"".join(map(event, [ROLE, *WORDS, chunk({}, "stop"), "[DONE]"])))
        writer.write(b"0\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    endpoint = Endpoint.parse(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    trace = await stream(endpoint, endpoint.request({}))
    assert (trace.error, trace.completion_tokens, trace.has_usage) == (None, len(WORDS), False)
    server.close()
    await server.wait_closed()


async def test_no_files_left_is_not_the_servers_error() -> None:
    async with serving(Stub()) as endpoint:
        request = endpoint.request({"model": "m", "messages": [], "max_tokens": 3})
        assert (await stream(endpoint, request)).error is None
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            traces = [await stream(endpoint, request) for _ in range(3)]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert (await stream(endpoint, request)).error is None
    assert all("ulimit -n" in str(trace.error) for trace in traces)
    load = Load(traces)
    assert (load.own_error_share, load.error_share) == (1, 0)


async def test_a_certificate_that_is_not_trusted_is_the_clients_own_matter(tmp_path) -> None:
    endpoint = Endpoint(host="127.0.0.1", port=0, path="/v1", is_tls=True)
    context = server_context(tmp_path)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
    endpoint = replace(endpoint, port=server.sockets[0].getsockname()[1])
    trace = await stream(endpoint, endpoint.request({}))
    assert trace.is_own_error
    assert "SSL_CERT_FILE" in str(trace.error)
    server.close()
    await server.wait_closed()
