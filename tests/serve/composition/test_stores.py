"""Stores are opened where settings need them, and nothing is opened where none does."""

from __future__ import annotations

import pytest

from serve.composition.stores import open_stores
from serve.config import Config
from serve.errors import StartupError
from serve.observe.metrics import Metrics
from serve.storage.configured import place_of
from serve.storage.migrating import newest, revision_of
from serve.storage.places import FILE_NAME, SqliteFile
from tests.servers.fixtures import needs_postgres


async def test_nothing_is_opened_without_a_need(tmp_path):
    async with open_stores(Config(state_dir=tmp_path / "state"), Metrics()) as stores:
        assert (stores.database, stores.cache_url) == (None, None)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_the_state_folder_is_the_default(tmp_path):
    assert place_of(Config(state_dir=tmp_path)) == SqliteFile(path=tmp_path / FILE_NAME)


@needs_postgres
async def test_what_a_url_names_is_opened_with_tables(tmp_path, empty_postgres):
    database_file, cache_file = tmp_path / "database", tmp_path / "cache"
    database_file.write_text(empty_postgres)
    cache_file.write_text("valkey://127.0.0.1:1/0")
    for path in (database_file, cache_file):
        path.chmod(0o600)
    config = Config(database_url_file=database_file, cache_url_file=cache_file)
    metrics = Metrics()
    async with open_stores(config, metrics) as stores:
        assert stores.database.is_shared
        assert await stores.database.read(revision_of) == newest()
        assert stores.cache_url == "redis://127.0.0.1:1/0"
        assert b"database_available 1.0" in metrics.render()[0]


async def test_a_server_that_is_away_ends_the_start_without_its_password(tmp_path):
    path = tmp_path / "url"
    path.write_text("postgresql://me:s3cr3t@127.0.0.1:1/usage")
    path.chmod(0o600)
    with pytest.raises(StartupError, match=r"usage on 127.0.0.1 cannot be used: .*refused") as told:
        async with open_stores(Config(database_url_file=path), Metrics()):
            pass
    assert "s3cr3t" not in str(told.value)
