"""The real server by raw sockets: odd requests, bombs, slow senders, clients that do not read.

Timeouts are configured short; what is asserted is that connections end and how, never when.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from serve.governance.identity import keys
from tests.serve.api.house import House, chat, house, is_free, pipeline_of, running, until

PROBES = {b"/livez", b"/readyz", b"/startupz"}
PATIENCE_S = 20


async def exchange(port: int, *pieces: bytes, ends: bool = False) -> bytes:
    """Send pieces and read until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if ends:
            writer.write_eof()
        async with asyncio.timeout(PATIENCE_S):
            return await reader.read()
    except (ConnectionResetError, BrokenPipeError):
        return b""
    finally:
        writer.close()


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def error_of(answer: bytes) -> dict[str, Any]:
    error: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    return error


@asynccontextmanager
async def served(home: House, **options: Any) -> AsyncIterator[int]:
    async with running(home, **options) as (server, _):
        yield server.port


# Nobody without a key (threats T3: path and Host confusion)

PATHS = [
    b"/v1/models",
    b"/v1/models/demo",
    b"/v1/chat/completions",
    b"/metrics",
    b"/openapi.json",
    b"//v1/models",
    b"/v1//models",
    b"/./v1/models",
    b"/livez/../v1/models",
    b"/livez/..%2fv1/models",
    b"/livez%2f..%2fv1%2fmodels",
    b"/livez;/v1/models",
    b"/livez?/v1/models",
    b"/livez#/v1/models",
    b"/livez%00/v1/models",
    b"/livez%0d%0a/v1/models",
    b"/v1/models%20",
    b"/v1/models%2f",
    b"/v1/models/",
    b"/v1/models?x=/livez",
    b"/%76%31/models",
    b"/V1/MODELS",
    b"/v1/models#/livez",
    b"/v1\\models",
    b"/v1/models;livez",
    b"/v1/models/..;/livez",
    b"/.%2e/livez/v1/models",
    b"/v1/models%c0%ae",
    b"*",
    b"http://localhost/v1/models",
    b"http://localhost/livez",
    b"http://evil/livez/../v1/models",
    b"@localhost/v1/models",
    b"localhost:80",
    b"/docs/",
    b"/docs/../v1/models",
    b"/pages/../v1/models",
    b"/pages/app.js/..%2f..%2fv1%2fmodels",
    b"/livez/",
    b"/livez/x",
    b"/readyz/../metrics",
    b"/startupz//v1/models",
    b"/invocations",
    b"/pause",
    b"/server_info",
]
HOSTS = [b"localhost", b"/v1/models", b"livez", b"localhost/livez?", b"a@b", b"\xff", b""]
METHODS = [b"GET", b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"get", b"LIVEZ"]
TRICKS = [
    b"X-Original-URL: /livez",
    b"X-Rewrite-URL: /livez",
    b"X-Forwarded-Prefix: /livez",
    b"X-Forwarded-Host: localhost",
    b"X-Forwarded-For: 127.0.0.1",
    b"X-HTTP-Method-Override: GET",
    b"Authorization: ",
    b"Authorization: Bearer",
    b"Authorization: Bearer null",
    b"Authorization: Basic YTpi",
    b"Cookie: authorization=Bearer x",
    b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQ",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: eA==",
]


def _variants() -> list[tuple[bytes, bytes]]:
    """Raw requests, each with its request target."""

    def request(method: bytes, path: bytes, *headers: bytes) -> bytes:
        lines = [method + b" " + path + b" HTTP/1.1", *headers, b"Connection: close", b"", b""]
        return b"\r\n".join(lines)

    paths = [(m, p, (b"Host: localhost",)) for m, p in itertools.product(METHODS, PATHS)]
    hosts = [(b"GET", p, (b"Host: " + h,)) for p, h in itertools.product(PATHS[:6], HOSTS)]
    tricks = [(b"GET", p, (b"Host: x", t)) for p, t in itertools.product(PATHS[:4], TRICKS)]
    doubled = [(b"GET", b"/v1/models", (b"Host: localhost", b"Host: livez"))]
    made = [*paths, *hosts, *tricks, *doubled]
    old = [(b"GET /v1/models HTTP/1.0\r\n\r\n", b"/v1/models"), (b"GET /v1/models\r\n\r\n", b"")]
    return [(request(m, p, *h), p) for m, p, h in made] + old


async def test_no_spelling_of_a_request_opens_without_a_key(tmp_path: Path) -> None:
    keys.create(tmp_path / "keys.json")
    variants = _variants()
    assert len(variants) >= 300
    seen: dict[int, int] = {}
    async with served(house(keys=tmp_path / "keys.json")) as port:
        for raw, target in variants:
            answer = await exchange(port, raw)
            for status in statuses(answer):
                seen[status] = seen.get(status, 0) + 1
                # A URL that names this server is the path that it holds.
                path = target.removeprefix(b"http://localhost").partition(b"?")[0]
                is_probe = path in PROBES
                assert status < 200 or status >= 400 or is_probe, (raw, answer)
                assert status < 500, (raw, answer)
    assert set(seen) <= {200, 400, 401, 431}, seen
    assert seen[401] > 200


async def test_a_request_smuggled_behind_a_body_is_not_served(tmp_path: Path) -> None:
    keys.create(tmp_path / "keys.json")
    hidden = b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"
    both = (
        b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n"
        b"Connection: close\r\n\r\n0\r\n\r\n" % len(hidden)
    )
    async with served(house(keys=tmp_path / "keys.json")) as port:
        answer = await exchange(port, both + hidden, ends=True)
    assert all(status in {400, 401} for status in statuses(answer))


# Bombs and slow senders (threats T8)


async def test_header_bombs_are_cut_off() -> None:
    lines = b"".join(b"x-%d: %s\r\n" % (i, b"y" * 100) for i in range(3000))
    one = b"x: " + b"y" * 300_000
    many = b"x:\r\n" * 6000
    async with served(house()) as port:
        for bomb in (lines, one, many):
            head = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
            answer = await exchange(port, head + bomb[:60_000], bomb[60_000:])
            assert statuses(answer) in ([431], []), answer[:200]  # [] where the reset came first
        whole = await exchange(port, head + b"x: " + b"y" * 17_000 + b"\r\n\r\n", ends=True)
        assert statuses(whole) == [431]
        assert error_of(whole)["code"] == "headers_too_large"
        endless = await exchange(port, head + b"x: " + b"y" * 17_000)
        assert statuses(endless) == [431]
        assert error_of(endless)["code"] == "headers_too_large"


async def test_half_sent_headers_are_closed() -> None:
    async with served(house(receive_timeout_s=0.1)) as port:
        half = await exchange(port, b"GET /livez HTTP/1.1\r\nHost: lo")
        assert statuses(half) == [408]
        assert error_of(half)["code"] == "request_timeout"
        assert await exchange(port) == b""


async def test_dribbled_headers_are_closed() -> None:
    async with served(house(receive_timeout_s=0.2)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /livez HTTP/1.1\r\n")
        answer = asyncio.create_task(reader.read())
        async with asyncio.timeout(PATIENCE_S):
            while not answer.done():
                writer.write(b"x: y\r\n")
                await asyncio.sleep(0.02)
        assert statuses(answer.result()) in ([408], [])
        writer.close()


async def test_half_headers_of_a_second_request_are_closed() -> None:
    full = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with served(house(receive_timeout_s=0.2)) as port:
        answer = await exchange(port, full, full[:20])
    assert statuses(answer) == [200, 408]


def post(body: bytes, *, length: int | None = None, path: str = "/v1/chat/completions") -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body) if length is None else length}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


async def test_slow_bodies_are_answered_and_closed() -> None:
    home = house(receive_timeout_s=0.1)
    async with served(home) as port:
        stalled = await exchange(port, post(b'{"model"', length=500))
        none = await exchange(port, post(b"", length=500))
    for answer in (stalled, none):
        assert statuses(answer) == [408]
        assert error_of(answer)["code"] == "request_timeout"
    assert is_free(home.pipeline)


async def test_dribbled_bodies_have_an_end() -> None:
    async with served(house(receive_timeout_s=0.1)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(post(b"", length=100_000).replace(b"Connection: close\r\n", b""))
        answer = asyncio.create_task(reader.read())
        async with asyncio.timeout(PATIENCE_S):
            while not answer.done():
                writer.write(b" ")
                await asyncio.sleep(0.02)
        # A byte that comes after the server has closed is answered by a reset.
        if not isinstance(answer.exception(), ConnectionResetError):
            assert statuses(answer.result()) in ([408], [])
        writer.close()


async def test_chunked_bodies_work_and_are_bounded() -> None:
    head = post(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    body = orjson.dumps(chat(max_tokens=2))
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"
    async with served(house(max_body_bytes=2000)) as port:
        assert statuses(await exchange(port, head + chunks)) == [200]
        bomb = b"3e8\r\n" + b" " * 1000 + b"\r\n"
        assert statuses(await exchange(port, head + bomb * 3, ends=True)) == [413]
        for broken in (b"zz\r\n", b"-1\r\n", b"5\r\nab\r\n", b"fffffffffffffffff\r\n"):
            answer = await exchange(port, head + broken + b"x" * 10, ends=True)
            assert set(statuses(answer)) <= {400}, (broken, answer)


async def test_who_sends_on_after_a_refusal_is_closed() -> None:
    async with served(house(receive_timeout_s=0.1)) as port:
        request = post(b"", length=10**6, path="/nope").replace(b"Connection: close\r\n", b"")
        answer = await exchange(port, request.replace(b"/json", b"/x"))
    assert statuses(answer) == [415]


async def test_broken_requests_are_answered_in_the_envelope() -> None:
    async with served(house()) as port:
        for raw in (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTQ/1.1\r\n\r\n"):
            answer = await exchange(port, raw)
            assert statuses(answer) == [400]
            assert error_of(answer)["type"] == "invalid_request_error"


async def test_a_client_that_does_not_read_loses_its_slot() -> None:
    pipeline = pipeline_of(script=[5] * 100, max_model_len=200_000)
    home = house(pipeline)
    body = orjson.dumps(chat(stream=True, logprobs=True, top_logprobs=20, max_tokens=150_000))
    async with served(home, stalled_reader_s=0.2) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(post(body))
        await until(lambda: len(home.records.all) == 1)
        assert is_free(pipeline)
        assert home.records.last.is_disconnected
        writer.transport.abort()


async def test_pipelined_requests_are_answered_in_order() -> None:
    first = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET /nope HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    async with served(house()) as port:
        assert statuses(await exchange(port, first * 5 + last)) == [200] * 5 + [404]


async def test_no_answer_names_the_software() -> None:
    async with served(house()) as port:
        request = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answer = (await exchange(port, request)).lower()
    for word in (b"uvicorn", b"\r\nserver:", b"python", b"starlette"):
        assert word not in answer


async def test_it_stops_taking_connections_and_finishes_what_runs() -> None:
    pipeline = pipeline_of(tokens_per_s=100)
    home = house(pipeline)
    async with running(home) as (server, _):
        request = post(orjson.dumps(chat(stream=True)))
        answer = asyncio.create_task(exchange(server.port, request))
        await until(lambda: pipeline.num_admitted == 1)
        server.stop()
        body = await answer
    assert body.count(b"data: [DONE]") == 1
    assert home.records.last.error_code is None


@pytest.mark.parametrize("has_begun", [True, False])
async def test_what_outlasts_its_patience_is_told_so(has_begun: bool) -> None:
    pipeline = pipeline_of(tokens_per_s=5 if has_begun else 0.001, script=[5] * 100)
    home = house(pipeline)
    async with running(home) as (server, _):
        request = post(orjson.dumps(chat(stream=True, max_tokens=500)))
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request)
        await until(lambda: pipeline.engine.load().num_running == 1)
        seen = await reader.readuntil(b"data: ") if has_begun else b""
        server.stop(grace_s=0)
        body = seen + await reader.read()
        writer.close()
    assert b'"code":"draining"' in body
    assert body.startswith(b"HTTP/1.1 200" if has_begun else b"HTTP/1.1 503")
    assert body.count(b"data: [DONE]") == has_begun
    assert is_free(pipeline)


async def test_a_server_that_is_leaving_closes_connections_after_their_answers() -> None:
    home = house(arm="blue")
    request = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with running(home) as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(request)
        first = await reader.readuntil(b"\r\n\r\n")
        home.service.is_leaving = True
        writer.write(request)
        second = await reader.read()  # to the end of the connection
        writer.close()
    assert b"connection: close" not in first.lower()
    assert statuses(second) == [200]
    assert b"connection: close" in second.lower()


async def test_an_idle_connection_is_kept_as_long_as_the_setting_says() -> None:
    home = house(keep_alive_timeout=0.2)
    async with running(home) as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert statuses(await reader.read()) == [200], "and then the server has closed it"
        writer.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_it_says_where_it_listens(host: str) -> None:
    async with running(house(host=host)) as (server, url):
        assert url.endswith(f":{server.port}")
        assert server.port > 0
