"""One connection on a real socket: refusals that end it, what comes behind a request, leaving."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import orjson
import pytest

from serve.api.http import connection
from serve.governance.identity import keys
from tests.serve.api.house import chat, house, is_free, pipeline_of, until
from tests.serve.api.http.test_server import error_of, exchange, post, served, statuses

GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
SMALL = post(b"{}").replace(b"Connection: close\r\n", b"")
CHUNKED = SMALL[:-2].replace(b"Content-Length: 2", b"Transfer-Encoding: chunked")


def is_last(answer: bytes) -> bool:
    return b"\r\nconnection: close\r\n" in answer.lower()


# Refused, and closed


@pytest.mark.parametrize("has_key", [False, True])
async def test_broken_bytes_are_answered_once_and_closed(tmp_path: Path, has_key: bool) -> None:
    """Never a hang and never a 500, whether or not the client goes on sending."""
    key = keys.create(tmp_path / "keys.json")
    auth = f"Authorization: Bearer {key}\r\n".encode() if has_key else b""
    body = CHUNKED[:-2] + auth + b"\r\n"
    broken = {
        SMALL.replace(b"Content-Length", b"Transfer-Encoding: chunked\r\nContent-Length"): 400,
        GET.replace(b"\r\n", b"\n"): 400,
        GET.replace(b"\r\n\r\n", b"\nX: y\r\n\r\n"): 400,
        GET.replace(b"1.1", b"1.2"): 505,
        GET.replace(b"1.1", b"2.0"): 505,
        GET.replace(b"1.1", b"1.10"): 400,
        b"GET /livez\r\n": 400,
        GET.replace(b"\r\n\r\n", b"\r\n folded\r\n\r\n"): 400,
        GET.replace(b"\r\n\r\n", b"\r\nHost: localhost\r\n\r\n"): 400,
        GET.replace(b"Host: localhost\r\n", b""): 400,
        GET.replace(b"localhost", b"local\x00host"): 400,
        b"\x16\x03\x01\x02\x00": 400,
        b"\r\n" * 100: 400,
    }
    if has_key:  # without one the body is not read
        for chunk in (b"+1", b"1_0", b"f" * 17, b"1;" + b"e" * 999):
            broken[body + chunk + b"\r\nx\r\n"] = 400
        broken[body + b"1\r\nx\r\n" * 20_000] = 400
        broken[body + b"0\r\nx: " + b"y" * 20_000] = 431
    async with served(house(keys=tmp_path / "keys.json")) as port:
        for raw, status in broken.items():
            for more in (b"", GET * 3000):
                answer = await exchange(port, raw + more)
                assert statuses(answer) == [status], (raw[:80], answer)
                assert is_last(answer)
                kind = "server_error" if status >= 500 else "invalid_request_error"
                assert error_of(answer)["type"] == kind


async def test_an_answer_before_the_body_s_end_is_the_last_and_is_read(tmp_path: Path) -> None:
    """The client sends 3 MiB before it reads: the bytes are thrown away, no reset answers them."""
    keys.create(tmp_path / "keys.json")
    async with served(house(keys=tmp_path / "keys.json")) as port:
        for raw in (
            CHUNKED + (b"4000\r\n" + b" " * 16_384 + b"\r\n") * 200,
            CHUNKED + b"1\r\nx\r\n" * 500_000,
            SMALL.replace(b": 2", b": 3000000")[:-2] + b" " * 3_000_000 + GET,
        ):
            answer = await exchange(port, raw)
            assert statuses(answer) == [401]
            assert is_last(answer)
        kept = await exchange(port, SMALL + LAST)
        assert statuses(kept) == [401, 200], "a body that has arrived leaves the connection good"


async def test_who_never_stops_sending_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LINGER_BYTES", 1 << 20)
    keys.create(tmp_path / "keys.json")
    async with served(house(keys=tmp_path / "keys.json")) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(CHUNKED)
        async with asyncio.timeout(20):
            while not writer.transport.is_closing():
                writer.write(b" " * 65_536)
                with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                    await writer.drain()
                await asyncio.sleep(0)


async def test_who_neither_sends_nor_leaves_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LINGER_S", 0.05)
    keys.create(tmp_path / "keys.json")
    async with served(house(keys=tmp_path / "keys.json")) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(CHUNKED)
        assert statuses(await reader.read()) == [401]
        async with asyncio.timeout(20):
            while not writer.transport.is_closing():  # a byte too late is answered by a reset
                writer.write(b" ")
                await asyncio.sleep(0.01)


async def test_nobody_without_a_key_is_told_to_go_on(tmp_path: Path) -> None:
    key = keys.create(tmp_path / "keys.json")
    waiting = SMALL[:-6].replace(b"Content-Type", b"Expect: 100-continue\r\nContent-Type")
    async with served(house(keys=tmp_path / "keys.json", max_body_bytes=2000)) as port:
        answer = await exchange(port, waiting + b"\r\n\r\n")
        assert statuses(answer) == [401]
        assert is_last(answer)
        large = waiting.replace(b": 2", b": 3000") + f"\r\nAuthorization: Bearer {key}".encode()
        assert statuses(await exchange(port, large + b"\r\n\r\n")) == [413]
        let_in = waiting + f"\r\nAuthorization: Bearer {key}\r\nConnection: close".encode()
        assert statuses(await exchange(port, let_in + b"\r\n\r\n", b"{}")) == [100, 400]


# The one Host that counts


async def test_an_absolute_target_s_host_is_the_one_that_the_guards_see(tmp_path: Path) -> None:
    key = keys.create(tmp_path / "keys.json")

    def get(target: bytes, host: bytes, *lines: bytes) -> bytes:
        first = [b"GET " + target + b" HTTP/1.1", b"Host: " + host, b"Connection: close"]
        return b"\r\n".join([*first, *lines, b"", b""])

    async with served(house()) as port:
        ours = b"http://127.0.0.1:%d" % port
        for target, host, status in (
            (ours + b"/livez", b"evil.example", 200),
            (ours + b"/v1/models", b"evil.example", 200),
            (b"http://evil.example/v1/models", b"localhost", 403),
            (b"http://[::1]/v1/models", b"x", 200),
            (b"http://localhost.evil.example/v1/models", b"localhost", 403),
            (b"http://localhost@evil.example/v1/models", b"localhost", 400),
            (b"https://localhost/v1/models", b"localhost", 400),
            (b"/v1/models?x=http://evil.example", b"localhost", 200),
        ):
            assert statuses(await exchange(port, get(target, host))) == [status], target
        twice = get(ours + b"/v1/models", b"localhost", b"Host: localhost")
        assert statuses(await exchange(port, twice)) == [400]
    async with served(house(keys=tmp_path / "keys.json")) as port:
        target = b"http://anywhere/v1/models"
        bearer = f"Authorization: Bearer {key}".encode()
        assert statuses(await exchange(port, get(target, b"x"))) == [401]
        assert statuses(await exchange(port, get(target, b"x", bearer))) == [200]


# Behind a request


@pytest.mark.parametrize("stream", [False, True])
async def test_bytes_behind_a_request_do_not_hide_that_its_client_left(
    stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer would take 80 s: only the client's leaving frees the slot."""
    monkeypatch.setattr(connection, "AHEAD_S", 0.01)
    pipeline = pipeline_of(tokens_per_s=5, script=[5] * 400)
    home = house(pipeline)
    body = orjson.dumps(chat(stream=stream, max_tokens=400))
    request = post(body).replace(b"Connection: close\r\n", b"")
    upgrade = b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Type"
    chunked = CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    cases = [
        *((request, after) for after in (b"", b"\r\n", b"\r\n\r\n", b"x", b"\x00" * 300, b"\n")),
        *((request, after) for after in (GET, request, GET[:30], GET * 5000, b"x" * 5_000_000)),
        *((chunked, after) for after in (b"\r\n", request, b"x" * 200_000)),
        (request.replace(b"Content-Type", upgrade), b""),
        (request.replace(b"Content-Type", upgrade), GET),
    ]
    async with served(home) as port:
        for number, (first, after) in enumerate(cases, start=1):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(first)
            await until(lambda: pipeline.engine.load().num_running == 1)
            writer.write(after)
            await writer.drain()
            if number % 2:
                writer.close()
            else:
                writer.write_eof()  # it would still read; who leaves looks the same
            await until(lambda number=number: len(home.records.all) == number)  # type: ignore[misc]
            assert is_free(pipeline), after[:20]
            assert home.records.last.is_disconnected
            writer.transport.abort()


async def test_what_comes_behind_a_request_is_answered_in_its_turn() -> None:
    body = orjson.dumps(chat(max_tokens=2))
    request = post(body).replace(b"Connection: close\r\n", b"")
    async with served(house()) as port:
        assert statuses(await exchange(port, request + b"\r\n" + request + LAST)) == [200] * 3
        garbled = await exchange(port, request + b"\x00garbage")
        assert statuses(garbled) == [200, 400]
        many = await exchange(port, GET * 2000 + LAST)
        assert statuses(many) == [200] * 2001


async def test_more_than_can_wait_behind_a_request_is_dropped_and_the_answer_is_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "AHEAD_S", 0.01)
    pipeline = pipeline_of(tokens_per_s=20)
    request = post(orjson.dumps(chat(max_tokens=8))).replace(b"Connection: close\r\n", b"")
    async with served(house(pipeline)) as port:
        answer = await exchange(port, request + GET * 5000)
    assert statuses(answer) == [200]
    assert is_last(answer)


async def test_requests_in_two_connections_take_turns() -> None:
    """The second is not made to wait for all that the first has sent."""
    async with served(house()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET * 3000)
        await reader.readuntil(b"alive")
        assert statuses(await exchange(port, LAST)) == [200]
        assert len(statuses(await reader.read(1 << 20))) < 2000
        writer.transport.abort()
