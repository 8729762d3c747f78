"""Counters in Valkey or Redis pass the contract on a real server, and bear what happens to it."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from serve.storage.circuit import Circuit
from serve.storage.counting.counters import StoreUnavailable
from serve.storage.counting.valkey_counters import PREFIX, ValkeyCounters
from tests.contracts.counters import LEASE_MS, MINUTE_MS, CountersContract, Harness, budget, rate
from tests.house.tree import ROOT
from tests.servers.fixtures import needs_redis
from tests.servers.redis import RedisServer, running_redis

pytestmark = needs_redis

TIME = "redis.call('TIME')"
TEST_TIME = (
    "(function() local ms = tonumber(redis.call('GET', '{intramural}:test-time')) "
    "return {math.floor(ms / 1000), ms % 1000 * 1000} end)()"
)
"""What the tests put in the place of the server's clock."""


@dataclass
class ValkeyHarness(Harness):
    counters: ValkeyCounters
    client: Redis
    now_ms: int = 10**12

    async def move_clock(self, ms: int) -> None:
        self.now_ms += ms
        await self.client.set(f"{PREFIX}:test-time", self.now_ms)


def unhurried(url: str, **more) -> ValkeyCounters:
    return ValkeyCounters(url, **{"timeout_s": 30.0, "queue_s": 60.0, **more})


def with_test_time(counters: ValkeyCounters) -> ValkeyCounters:
    scripts = counters._scripts
    assert all(script.text.count(TIME) == 1 for script in scripts.values())
    counters._scripts = {
        verb: replace(script, text=script.text.replace(TIME, TEST_TIME))
        for verb, script in scripts.items()
    }
    return counters


@pytest.fixture
async def harness(redis_server: RedisServer) -> AsyncIterator[ValkeyHarness]:
    client = Redis.from_url(redis_server.url)
    harness = ValkeyHarness(with_test_time(unhurried(redis_server.url)), client)
    await harness.move_clock(0)
    yield harness
    await client.aclose()
    await harness.counters.close()


@pytest.fixture
async def counters(redis_server: RedisServer) -> AsyncIterator[ValkeyCounters]:
    counters = unhurried(redis_server.url)
    yield counters
    await counters.close()


class TestValkeyCounters(CountersContract):
    async def test_every_key_has_the_hash_tag_and_expires(self, harness: ValkeyHarness) -> None:
        await harness.counters.reserve("a", [budget(5), rate(5)], lease_ms=LEASE_MS)
        await harness.counters.reserve("b", [budget(5), rate(5)], lease_ms=LEASE_MS)
        await harness.counters.settle("b", [budget(5), rate(5)])
        await harness.counters.extend(["a"], lease_ms=LEASE_MS)
        keys = {key.decode() for key in await harness.client.keys()} - {f"{PREFIX}:test-time"}
        assert keys == {
            f"{PREFIX}:{name}"
            for name in (
                *("clock", "replicas", "account:budget", "account:rate"),
                *("reservation:a", "reservation:b"),
            )
        }
        assert [key for key in keys if await harness.client.pttl(key) <= 0] == []
        assert await harness.client.pttl(f"{PREFIX}:account:rate") <= 2 * MINUTE_MS

    async def test_the_sum_is_that_of_what_is_held(self, harness: ValkeyHarness) -> None:
        for number in range(20):
            await harness.counters.reserve(
                f"r{number}", [budget(number, 500)], lease_ms=100 + number
            )
        await harness.move_clock(109)
        await harness.counters.extend([f"r{n}" for n in range(15)], lease_ms=50)
        await harness.counters.settle("r19", [])
        await harness.move_clock(20)
        await harness.counters.balances([budget(0)])
        fields = await harness.client.hgetall(f"{PREFIX}:account:budget")
        held = [value for name, value in fields.items() if name.startswith(b"r:")]
        assert sum(int(value.split()[0]) for value in held) == int(fields[b"reserved"])
        assert int(fields[b"reserved"]) == sum(range(10, 15))


async def test_leases_end_by_the_server_s_own_clock(counters: ValkeyCounters) -> None:
    await counters.reserve("a", [budget(100)], lease_ms=50)
    for _ in range(1000):
        if (await counters.reserve("b", [budget(100)], lease_ms=60_000)).refused is None:
            break
        await asyncio.sleep(0.01)
    assert (await counters.balances([budget(0)]))[0].reserved == 100


async def test_replicas_are_counted(redis_server: RedisServer) -> None:
    replicas = [unhurried(redis_server.url) for _ in range(3)]
    for number, replica in enumerate(replicas):
        await replica.reserve(f"r{number}", [], lease_ms=1)
    assert [replica.num_replicas for replica in replicas] == [1, 2, 3]
    for replica in replicas:
        await replica.close()


async def test_a_server_that_forgets_its_scripts_is_told_again(
    counters: ValkeyCounters, redis_server: RedisServer
) -> None:
    await counters.reserve("a", [budget(10)], lease_ms=MINUTE_MS)
    async with Redis.from_url(redis_server.url) as client:
        await client.script_flush()
    assert (await counters.balances([budget(0)]))[0].reserved == 10
    assert await counters.settle("a", [budget(10)])


async def test_a_server_that_was_started_again_has_forgotten() -> None:
    with running_redis() as server:
        counters = unhurried(server.url)
        await counters.reserve("a", [budget(10)], lease_ms=MINUTE_MS)
        server.stop(signal.SIGKILL)
        with pytest.raises(StoreUnavailable) as told:
            await counters.reserve("b", [budget(10)], lease_ms=MINUTE_MS)
        assert str(server.folder) not in str(told.value)
        server.start()
        decision = await counters.reserve("c", [budget(10)], lease_ms=MINUTE_MS)
        assert decision.balances[0].reserved == 10
        await counters.close()


async def test_the_user_of_the_page_may_do_all_that_is_needed() -> None:
    page = (ROOT / "docs" / "storage.md").read_text("utf-8")
    (line,) = re.findall(r"^user (intramural on >PASSWORD .*)$", page, re.MULTILINE)
    with running_redis() as server:
        async with Redis.from_url(server.url) as client:
            await client.execute_command("ACL", "SETUSER", *line.split())
        url = server.url.replace("unix://", "unix://intramural:PASSWORD@")
        counters = unhurried(url)
        await counters.reserve("a", [budget(5), rate(5)], lease_ms=1)
        await counters.reserve("b", [budget(5), rate(5)], lease_ms=MINUTE_MS)
        await counters.extend(["a", "b"], lease_ms=MINUTE_MS)
        assert await counters.settle("b", [budget(5), rate(5)])
        assert (await counters.balances([budget(0)]))[0].settled == 5
        await counters.close()
        stranger = unhurried(url.replace("PASSWORD", "another"))
        with pytest.raises(StoreUnavailable) as told:
            await stranger.reserve("a", [], lease_ms=1)
        assert "another" not in str(told.value)
        await stranger.close()


async def test_a_server_that_is_full_is_unavailable() -> None:
    with running_redis() as server:
        counters = unhurried(server.url)
        async with Redis.from_url(server.url) as client:
            await client.config_set("maxmemory", 1)
        with pytest.raises(StoreUnavailable, match="OutOfMemoryError"):
            await counters.reserve("a", [budget(10)], lease_ms=MINUTE_MS)
        await counters.close()


class SilentServer:
    """It takes connections and says nothing."""

    num_calls = 0

    async def swallow(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_calls += 1
        await reader.read()
        writer.close()

    @asynccontextmanager
    async def counters(self, folder: Path, **more: Any) -> AsyncIterator[ValkeyCounters]:
        server = await asyncio.start_unix_server(self.swallow, folder / "socket")
        circuit = Circuit(clock=lambda: 0.0)
        counters = ValkeyCounters(f"unix://{folder / 'socket'}", circuit=circuit, **more)
        try:
            yield counters
        finally:
            await counters.close()
            server.close()
            await server.wait_closed()


async def test_a_silent_server_costs_five_timeouts_and_then_nothing(tmp_path: Path) -> None:
    server = SilentServer()
    async with server.counters(tmp_path, timeout_s=0.02) as counters:
        for number in range(5):
            assert counters.is_available
            with pytest.raises(StoreUnavailable, match=r"within 20 ms|ConnectionError"):
                await counters.reserve(f"a{number}", [budget(1)], lease_ms=LEASE_MS)
        with pytest.raises(StoreUnavailable, match="of late"):
            await counters.reserve("b", [budget(1)], lease_ms=LEASE_MS)
        assert not counters.is_available
        assert server.num_calls <= 10


async def test_whoever_waits_for_a_silent_server_is_refused_with_the_first(tmp_path: Path) -> None:
    server = SilentServer()
    async with server.counters(tmp_path, timeout_s=0.02, max_connections=5) as counters:
        calls = [counters.reserve(f"a{n}", [budget(1)], lease_ms=LEASE_MS) for n in range(500)]
        told = await asyncio.gather(*calls, return_exceptions=True)
        # As the first five fail one after the other, some take their turns before the fifth.
        num_silent = sum(not str(each).endswith("of late") for each in told)
        assert 5 <= num_silent < 10
        assert server.num_calls <= 2 * num_silent, "a lost connection is tried once more"


async def test_a_queue_has_an_end_and_is_no_outage(tmp_path: Path) -> None:
    server = SilentServer()
    more = {"timeout_s": 60.0, "queue_s": 0.01, "max_connections": 1}
    async with server.counters(tmp_path, **more) as counters:
        first = asyncio.create_task(counters.settle("a", []))
        await asyncio.sleep(0)
        for number in range(6):
            with pytest.raises(StoreUnavailable, match="too many calls wait"):
                await counters.settle(f"b{number}", [])
        assert counters.is_available
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def test_more_calls_than_connections_wait_for_their_turn(redis_server: RedisServer) -> None:
    counters = unhurried(redis_server.url, max_connections=2)
    decisions = await asyncio.gather(
        *(counters.reserve(f"r{i}", [budget(1)], lease_ms=LEASE_MS) for i in range(200))
    )
    assert sum(decision.refused is None for decision in decisions) == 100
    async with Redis.from_url(redis_server.url) as client:
        assert len(await client.client_list()) <= 4
    await counters.close()


async def test_a_call_that_is_cancelled_leaves_no_answer_to_the_next(
    counters: ValkeyCounters,
) -> None:
    await counters.reserve("a", [budget(7)], lease_ms=MINUTE_MS)
    for turns in range(1, 30):
        task = asyncio.create_task(counters.settle(f"s{turns}", []))
        for _ in range(turns % 10):
            await asyncio.sleep(0)
        task.cancel()
        assert (await counters.balances([budget(0)]))[0].reserved == 7
