"""The response cache from settings: where answers lie, and what parts one server's from others'."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from serve.composition.response_cache import (
    _ANSWERING,
    _NOT_ANSWERING,
    adapter_digests,
    open_response_cache,
    settings_digest,
)
from serve.composition.stores import Stores
from serve.config import Config
from serve.errors import StartupError
from serve.observe.metrics import Metrics
from serve.service.response_cache.memory_store import MemoryStore
from serve.service.response_cache.sealed_store import SealedStore
from serve.storage.answers.valkey_answers import PREFIX
from tests.serve.api.house import chat
from tests.serve.service.response_cache.cached_house import cached_house
from tests.serve.service.response_cache.test_answers import ask
from tests.servers.fixtures import needs_redis
from tests.servers.redis import RedisServer


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key"
    path.write_text("ab" * 32)
    path.chmod(0o600)
    return path


async def test_there_is_none_unless_it_is_asked_for() -> None:
    metrics = Metrics()
    async with open_response_cache(Config(), Stores(), metrics) as cache:
        assert cache is None
    assert b"response_cache_hits_total 0.0" not in metrics.render()[0]


async def test_in_memory(tmp_path) -> None:
    metrics = Metrics()
    config = Config(response_cache="memory", response_cache_bytes=2 << 20)
    async with open_response_cache(config, Stores(), metrics) as cache:
        assert cache is not None
        assert isinstance(cache._store, MemoryStore)
        assert cache.max_entry_bytes == (2 << 20) // 16
        assert b"response_cache_hits_total 0.0" in metrics.render()[0]


async def test_shared_answers_have_the_names_of_their_key(key_file) -> None:
    settings = {"response_cache": "shared", "response_cache_key_file": key_file}
    config = Config(**settings, cache_url_file=key_file)
    stores = Stores(cache_url="redis://127.0.0.1:1/0")
    keys = []
    for _ in range(2):
        async with open_response_cache(config, stores, Metrics()) as cache:
            assert cache is not None
            assert isinstance(cache._store, SealedStore)
            keys.append((cache._names.key, cache._names.settings))
    assert keys[0] == keys[1]
    key_file.write_text("no key")
    with pytest.raises(StartupError, match=r"--response-cache-key-file .*no 32 bytes"):
        async with open_response_cache(config, stores, Metrics()):
            pass


def test_settings_that_change_answers_part_servers_and_others_do_not() -> None:
    base = settings_digest(Config())
    for changed in (
        {"dtype": "float32"},
        {"max_model_len": 128},
        {"enable_prefix_caching": False},
        {"arm": "blue"},
        {"tool_dialect": "none"},
        {"kv_cache_dtype": "fp8"},
    ):
        assert settings_digest(Config(**changed)) != base, changed
    for changed in (
        {"served_model_name": ("other",)},
        {"port": 1},
        {"max_request_s": 9.0},
        {"max_num_queued_reqs": 9},
        {"log_level": "debug"},
    ):
        assert settings_digest(Config(**changed)) == base, changed
    names = {name for section in _ANSWERING for name in section.model_fields}
    assert names > _NOT_ANSWERING


def test_an_adapter_is_its_files(tmp_path) -> None:
    folders = {}
    for name, text in (("a", "1"), ("b", "1"), ("c", "2")):
        folder = folders[name] = tmp_path / name
        folder.mkdir()
        (folder / "adapter_config.json").write_text("{}")
        (folder / "adapter_model.safetensors").write_text(text)
    digests = adapter_digests(folders)
    assert digests["a"] == digests["b"] != digests["c"]
    with pytest.raises(StartupError, match="--lora d: No such file"):
        adapter_digests({"d": tmp_path / "none"})


@needs_redis
async def test_replicas_share_answers_that_the_server_cannot_read(
    redis_server: RedisServer, key_file, tmp_path
) -> None:
    other = tmp_path / "other"
    other.write_text("cd" * 32)
    other.chmod(0o600)
    stores, states = Stores(cache_url=redis_server.url), []
    for file in (key_file, key_file, other, key_file):
        config = Config(
            response_cache="shared", response_cache_key_file=file, cache_url_file=key_file
        )
        async with open_response_cache(config, stores, Metrics()) as cache:
            home = cached_house(cache)
            states.append((await ask(home, chat("a secret question", temperature=0))).headers)
    assert [headers["x-response-cache"] for headers in states] == ["miss", "hit", "miss", "hit"]
    async with Redis.from_url(redis_server.url) as client:
        kept = await client.hgetall(f"{PREFIX}:values")
    assert len(kept) == 2
    for name, value in kept.items():
        assert len(name) == 32
        for word in (b"secret", b"ward", b"answer", b"demo"):
            assert word not in name + value
