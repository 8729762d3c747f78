"""Answers on a real server keep the contract, and bear what happens to it."""

from __future__ import annotations

import re
import signal
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from serve.storage.answers import valkey_answers, valkey_scripts
from serve.storage.answers.valkey_answers import PREFIX, ValkeyAnswers
from serve.storage.circuit import Circuit
from serve.storage.counting.counters import StoreUnavailable
from serve.storage.valkey_server import Script
from tests.contracts.answer_store import (
    MAX_AGE_S,
    MAX_BYTES,
    MAX_ENTRIES,
    AnswerStoreContract,
    Harness,
)
from tests.house.tree import ROOT
from tests.servers.fixtures import needs_redis
from tests.servers.redis import RedisServer, running_redis

pytestmark = needs_redis

TIME = "redis.call('TIME')"
TEST_TIME = (
    "(function() local ms = tonumber(redis.call('GET', 'test-time')) "
    "return {math.floor(ms / 1000), ms % 1000 * 1000} end)()"
)
"""What the contract puts in the place of the server's clock."""


def answers_on(url: str, **more) -> ValkeyAnswers:
    bounds = {"max_bytes": MAX_BYTES, "max_entries": MAX_ENTRIES, "max_age_s": MAX_AGE_S}
    return ValkeyAnswers(url, **{"timeout_s": 30.0, **bounds, **more})


class TestValkeyAnswers(AnswerStoreContract):
    @pytest.fixture
    async def harness(self, redis_server, monkeypatch) -> AsyncIterator[Harness]:
        client = Redis.from_url(redis_server.url)
        now_ms = 10**12
        await client.set("test-time", now_ms)
        for name in ("FIND", "KEEP"):
            text = getattr(valkey_scripts, name).text
            assert text.count(TIME) == 1
            script = Script(text.replace(TIME, TEST_TIME))
            monkeypatch.setattr(valkey_answers, name, script)

        async def wait(seconds: float) -> None:
            nonlocal now_ms
            now_ms += int(seconds * 1000)
            await client.set("test-time", now_ms)

        store = answers_on(redis_server.url)
        yield Harness(store, wait)
        await store.close()
        await client.aclose()

    async def test_old_answers_are_swept_by_new_ones(self, harness: Harness) -> None:
        for number in range(5):
            await harness.store.keep(b"%d" % number, b"x")
        await harness.wait(MAX_AGE_S + 1)
        await harness.store.keep(b"new", b"x")
        assert harness.num_entries == 1
        assert harness.store.figures()["response_cache_evictions_total"] == 0


async def test_all_keys_expire_and_lie_in_one_slot(redis_server: RedisServer) -> None:
    store = answers_on(redis_server.url)
    await store.keep(b"a", b"x")
    async with Redis.from_url(redis_server.url) as client:
        keys = await client.keys("*")
        assert len(keys) == 4
        for key in keys:
            assert key.startswith(PREFIX.encode())
            assert 0 < await client.pttl(key) <= MAX_AGE_S * 1000
    await store.close()


@pytest.mark.parametrize("part", ["values", "uses", "ends", "bytes"])
async def test_a_server_that_dropped_a_key_keeps_on(redis_server: RedisServer, part: str) -> None:
    """One whose policy is to forget keys: whatever it forgets, the bounds come back."""
    store = answers_on(redis_server.url)
    for number in range(MAX_ENTRIES):
        await store.keep(b"%d" % number, b"x")
    async with Redis.from_url(redis_server.url) as client:
        await client.delete(f"{PREFIX}:{part}")
    for number in range(MAX_ENTRIES, 2 * MAX_ENTRIES):
        await store.keep(b"%d" % number, b"x")
        assert await store.find(b"%d" % number) == b"x"
    async with Redis.from_url(redis_server.url) as client:
        values, uses, ends = f"{PREFIX}:values", f"{PREFIX}:uses", f"{PREFIX}:ends"
        sizes = (await client.hlen(values), await client.zcard(uses), await client.zcard(ends))
        assert sizes == (MAX_ENTRIES, MAX_ENTRIES, MAX_ENTRIES)
        size = valkey_answers.OVERHEAD_BYTES + 1
        assert int(await client.get(f"{PREFIX}:bytes")) == MAX_ENTRIES * size
    await store.close()


async def test_a_server_that_is_away_opens_the_circuit_and_comes_back() -> None:
    with running_redis() as server:
        now = 0.0
        circuit = Circuit(max_failures=2, clock=lambda: now, jitter=lambda: 0.0)
        store = answers_on(server.url, circuit=circuit)
        await store.keep(b"a", b"x")
        server.stop(signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=r"failed \(ConnectionError\)"):
                await store.find(b"a")
        assert store.figures()["response_cache_available"] is False
        with pytest.raises(StoreUnavailable, match="did not answer of late"):
            await store.find(b"a")
        server.start()
        now = 1.0
        assert await store.find(b"a") is None
        await store.keep(b"a", b"y")
        assert await store.find(b"a") == b"y"
        assert store.figures()["response_cache_available"] is True
        await store.close()


async def test_the_rights_that_the_docs_give_suffice(redis_server: RedisServer) -> None:
    page = (ROOT / "docs" / "response-cache.md").read_text("utf-8")
    rights = re.search(r"^user intramural on >PASSWORD (.+)$", page, re.MULTILINE)
    assert rights is not None
    async with Redis.from_url(redis_server.url) as admin:
        await admin.execute_command("ACL", "SETUSER", "cache", "on", ">pw", *rights[1].split())
        try:
            store = answers_on(f"{redis_server.url}?username=cache&password=pw")
            for number in range(MAX_ENTRIES + 2):
                await store.keep(b"%d" % number, b"x")
            assert await store.find(b"5") == b"x"
            await store.close()
        finally:
            await admin.execute_command("ACL", "DELUSER", "cache")
