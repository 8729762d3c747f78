"""Fixtures of stores, which tests/conftest.py gives to all tests: started once a process.

A test that asks for a server bears its mark, ``@needs_postgres`` or ``@needs_redis``; one that asks
for ``database`` runs on SQLite and on PostgreSQL and needs none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
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
    """An empty database, on SQLite and on PostgreSQL."""
    from serve.storage.places import Patience, PostgresqlServer, SqliteFile

    if request.param == "sqlite":
        return SqliteFile(path=tmp_path / "state" / "intramural.db")
    server: Postgres = request.getfixturevalue("postgres")
    unhurried = Patience(answer_s=5.0, connect_s=5.0, turn_s=10.0, queue_s=60.0)
    return PostgresqlServer(conninfo=server.make_database(), patience=unhurried)


@pytest.fixture
async def database(database_place: Place) -> AsyncIterator[Database]:
    """A database with our tables, on SQLite and on PostgreSQL."""
    from serve.storage.database import open_database

    opened = await open_database(database_place)
    yield opened
    await opened.close()
