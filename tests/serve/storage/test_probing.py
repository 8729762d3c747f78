"""Probes: what a store says of itself, and that looking changes nothing."""

from __future__ import annotations

import pytest

from serve.storage.counting.counters import StoreUnavailable
from serve.storage.database import open_database
from serve.storage.engines import opened
from serve.storage.migrating import newest
from serve.storage.places import SqliteFile
from serve.storage.probing import probe_cache, probe_database
from serve.storage.urls import CacheServer
from tests.servers.fixtures import needs_redis


async def test_a_database_tells_its_revision(database_place):
    database = await open_database(database_place)
    await database.close()
    state = probe_database(database_place)
    assert state is not None
    assert state.revision == state.newest == newest()
    assert state.is_shared == database.is_shared


def test_a_file_that_is_not_there_is_not_made(tmp_path):
    assert probe_database(SqliteFile(path=tmp_path / "x" / "y.db")) is None
    assert list(tmp_path.iterdir()) == []


def test_a_database_without_tables(tmp_path):
    place = SqliteFile(path=tmp_path / "x.db")
    with opened(place) as engine, engine.connect():
        pass
    state = probe_database(place)
    assert state is not None
    assert state.revision is None


@needs_redis
def test_a_server_of_counters_tells_what_it_is(redis_server):
    state = probe_cache(CacheServer(url=redis_server.url, name="it"))
    assert state.product in {"redis", "valkey"}
    assert state.version > (5,)
    assert state.policy == "noeviction"
    assert state.max_bytes >= 0


def test_one_that_is_away_is_named_without_its_password():
    server = CacheServer(url="redis://user:s3cr3t@127.0.0.1:1/0", name="it")
    with pytest.raises(StoreUnavailable, match=r"does not answer \(ConnectionError\)") as caught:
        probe_cache(server)
    assert "s3cr3t" not in str(caught.value)
