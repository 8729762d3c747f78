"""Migrations lead to the tables that the code works with, once, and never backwards."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from serve.errors import StartupError
from serve.storage import schema
from serve.storage.database import open_database
from serve.storage.engines import engine_of, opened
from serve.storage.migrating import VERSION_TABLE, migrate, newest, revision_of
from serve.storage.places import PostgresqlServer, SqliteFile
from tests.servers.fixtures import needs_postgres


def described(place) -> dict[str, object]:
    """All that the database itself says of its tables."""
    with opened(place, is_reader=True) as engine:
        seen = inspect(engine)
        return {
            name: (
                [{**column, "type": repr(column["type"])} for column in seen.get_columns(name)],
                seen.get_pk_constraint(name),
                sorted(map(repr, seen.get_indexes(name))),
                sorted(map(repr, seen.get_unique_constraints(name))),
                seen.get_foreign_keys(name),
                seen.get_check_constraints(name),
            )
            for name in set(seen.get_table_names()) - {VERSION_TABLE}
        }


def other_place(place, request):
    """Another empty database of the same kind."""
    if isinstance(place, SqliteFile):
        return replace(place, path=place.path.with_name("other.db"))
    return replace(place, conninfo=request.getfixturevalue("postgres").make_database())


def test_migrations_lead_to_exactly_these_tables(database_place, request):
    migrate(database_place)
    by_code = other_place(database_place, request)
    with opened(by_code) as engine, engine.begin() as connection:
        schema.metadata.create_all(connection)
    migrated = described(database_place)
    assert migrated.keys() == schema.metadata.tables.keys()
    assert migrated == described(by_code)
    with opened(database_place, is_reader=True) as engine, engine.connect() as connection:
        options = {
            "version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True
        }  # fmt: skip
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, schema.metadata) == []


def test_the_comparison_sees_an_index_that_is_missing(database_place, request):
    migrate(database_place)
    other = other_place(database_place, request)
    migrate(other)
    with opened(other) as engine, engine.begin() as connection:
        connection.execute(text("DROP INDEX ix_ledger_day"))
    assert described(database_place) != described(other)


def test_a_second_migration_changes_nothing(database_place):
    first, second = migrate(database_place), migrate(database_place)
    assert (first.before, first.after) == (None, newest())
    assert (second.before, second.after) == (newest(), newest())


async def test_replicas_that_start_together_take_turns(database_place):
    opening = [open_database(database_place) for _ in range(4)]
    for database in await asyncio.gather(*opening):
        assert await database.read(revision_of) == newest()
        await database.close()


def test_a_newer_database_is_refused(database_place):
    migrate(database_place)
    with opened(database_place) as engine, engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(StartupError, match="revision 9999, which a newer version"):
        migrate(database_place)


def test_a_migration_that_fails_leaves_nothing(database_place):
    with opened(database_place) as engine, engine.begin() as connection:
        connection.execute(text("CREATE TABLE ledger (note TEXT)"))
    with pytest.raises(StartupError, match="already exists"):
        migrate(database_place)
    with opened(database_place, is_reader=True) as engine:
        assert inspect(engine).get_table_names() == ["ledger"]


@needs_postgres
def test_a_role_that_may_make_no_tables_serves_what_was_migrated(postgres):
    url = postgres.make_database()
    owner = PostgresqlServer(conninfo=url)
    engine = engine_of(owner)
    with engine.begin() as connection:
        connection.execute(text("CREATE ROLE serving LOGIN"))
        connection.execute(text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
    serving = PostgresqlServer(conninfo=url.replace("postgres@", "serving@"))
    with pytest.raises(StartupError, match=r"storage migrate. with a role that may"):
        migrate(serving)
    migrate(owner)
    with engine.begin() as connection:
        connection.execute(text("GRANT SELECT ON ALL TABLES IN SCHEMA public TO serving"))
    engine.dispose()
    assert migrate(serving).before == newest()
