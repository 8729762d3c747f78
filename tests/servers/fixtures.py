"""Fixtures of stores, which tests/conftest.py gives to all tests: started once a process.

A test that asks for a server bears its mark, ``@needs_postgres`` or ``@needs_redis``; one that asks
for ``database`` runs on SQLite and on PostgreSQL and needs none.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import programs

if TYPE_CHECKING:  # imported where they are needed: this module is, by all tests
    from serve.storage.database import Database
    from serve.storage.places import Place
    from tests.servers.postgres import Postgres
    from tests.servers.redis import RedisServer

needs_postgres = programs.needs("postgres", "initdb", "setpriv")
needs_redis = programs.needs("redis-server")
PLACES = ["sqlite", pytest.param("postgresql", marks=needs_postgres)]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server of this process' tests. Make a database of your own in it."""
    from tests.servers.postgres import running_postgres

    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def _redis() -> Iterator[RedisServer]:
    from tests.servers.redis import running_redis

    with running_redis() as server:
        yield server


@pytest.fixture
def redis_server(_redis: RedisServer) -> RedisServer:
    """A server that is empty."""
    _redis.empty()
    return _redis


@pytest.fixture(params=PLACES)
def database_place(request: pytest.FixtureRequest, tmp_path) -> Place:
    """An empty database without tables, on SQLite and on PostgreSQL."""
    from serve.storage.places import SqliteFile

    if request.param == "sqlite":
        return SqliteFile(path=tmp_path / "state" / "intramural.db")
    return _server(request.getfixturevalue("empty_postgres"))


@pytest.fixture(params=PLACES)
def migrated_place(request: pytest.FixtureRequest, tmp_path) -> Place:
    """A database with our tables, which are empty, on SQLite and on PostgreSQL."""
    from serve.storage.places import SqliteFile

    if request.param == "postgresql":
        return _server(request.getfixturevalue("migrated_postgres"))
    path = tmp_path / "state" / "intramural.db"
    path.parent.mkdir()
    shutil.copy(request.getfixturevalue("_migrated_file"), path)
    return SqliteFile(path=path)


@pytest.fixture
async def database(migrated_place: Place) -> AsyncIterator[Database]:
    """A database that is open, with our tables, on SQLite and on PostgreSQL."""
    from serve.storage.database import Database

    opened = Database(migrated_place)
    yield opened
    await opened.close()


def _server(url: str) -> Place:
    from serve.storage.places import Patience, PostgresqlServer

    unhurried = Patience(answer_s=5.0, connect_s=5.0, turn_s=10.0, queue_s=60.0)
    return PostgresqlServer(conninfo=url, patience=unhurried)


@pytest.fixture(scope="session")
def _migrated_file(tmp_path_factory) -> Path:
    """A SQLite database with our tables, to copy."""
    from serve.storage.migrating import migrate
    from serve.storage.places import SqliteFile

    path = tmp_path_factory.mktemp("migrated") / "intramural.db"
    migrate(SqliteFile(path=path))
    return path


@pytest.fixture
def database_file(_migrated_file: Path, tmp_path: Path) -> Path:
    """A SQLite database with our tables, which are empty, under its name in the test's folder."""
    return Path(shutil.copy(_migrated_file, tmp_path / _migrated_file.name))


@pytest.fixture(scope="session")
def _migrated_url(postgres: Postgres) -> str:
    """The URL of a database with our tables, to empty."""
    from serve.storage.migrating import migrate
    from serve.storage.places import PostgresqlServer

    url = postgres.url()
    migrate(PostgresqlServer(conninfo=url))
    return url


@pytest.fixture(scope="session")
def _scratch_url(postgres: Postgres) -> str:
    """The URL of a database that tests leave tables in."""
    return postgres.make_database()


@pytest.fixture
def empty_postgres(_scratch_url: str) -> str:
    """The URL of a database without tables: sooner there than a new one."""
    import psycopg

    with psycopg.connect(_scratch_url) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return _scratch_url


@pytest.fixture
def migrated_postgres(_migrated_url: str) -> str:
    """The URL of a database with our tables, which are empty."""
    import psycopg

    from serve.storage import schema

    with psycopg.connect(_migrated_url) as connection:
        for name in schema.metadata.tables:
            connection.execute(f"DELETE FROM {name}")
    return _migrated_url
