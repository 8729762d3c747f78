"""A server that runs scripts: what it forgot is told again, and a silent one is left alone."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from serve.storage.circuit import Circuit
from serve.storage.counting.counters import StoreUnavailable
from serve.storage.valkey_server import Script, ValkeyServer
from tests.servers.fixtures import needs_redis
from tests.servers.redis import RedisServer

ECHO = Script("return {KEYS[1], ARGV[1], #ARGV}")


@asynccontextmanager
async def asked(url: str, **more) -> AsyncIterator[ValkeyServer]:
    server = ValkeyServer(url, "the tests' server", **{"max_connections": 2, **more})
    try:
        yield server
    finally:
        await server.close()


@asynccontextmanager
async def silent(folder: Path) -> AsyncIterator[str]:
    """The address of a server that takes connections and says nothing."""

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(say_nothing, folder / "s")
    yield f"unix://{folder / 's'}"
    server.close()
    await server.wait_closed()


def test_a_script_is_known_by_the_digest_of_its_text():
    assert ECHO.sha == hashlib.sha1(ECHO.text.encode()).hexdigest()


@needs_redis
async def test_a_script_gets_keys_and_arguments_and_is_told_again_where_forgotten(
    redis_server: RedisServer,
) -> None:
    async with asked(redis_server.url, timeout_s=30.0) as server:
        for _ in range(2):
            assert await server.run(ECHO, ["k"], [b"\xff", 2]) == [b"k", b"\xff", 2]
            await server.client.script_flush()


@needs_redis
async def test_a_script_that_fails_is_told_by_its_kind_alone(redis_server: RedisServer) -> None:
    async with asked(redis_server.url, timeout_s=30.0) as server:
        with pytest.raises(StoreUnavailable) as told:
            await server.run(Script("return redis.error_reply('secret')"), [], [])
        assert str(told.value) == "the tests' server failed (ResponseError)"
        assert server.is_available


async def test_a_silent_server_is_left_alone_after_some_calls(tmp_path: Path) -> None:
    circuit = Circuit(max_failures=2, clock=lambda: 0.0)
    async with silent(tmp_path) as url, asked(url, timeout_s=0.02, circuit=circuit) as server:
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="tests' server did not answer within 20 ms"):
                await server.run(ECHO, ["k"], [])
        assert not server.is_available
        with pytest.raises(StoreUnavailable, match="did not answer of late"):
            await server.run(ECHO, ["k"], [])


async def test_a_server_that_is_not_there_is_named_without_its_address(tmp_path: Path) -> None:
    async with asked(f"unix://{tmp_path / 'none'}", timeout_s=30.0) as server:
        with pytest.raises(StoreUnavailable) as told:
            await server.run(ECHO, ["k"], [])
    assert str(told.value) == "the tests' server failed (ConnectionError)"
