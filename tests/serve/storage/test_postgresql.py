"""A connection to PostgreSQL: its settings at the server, its deadlines, its encryption."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from serve.errors import StartupError
from serve.storage.engines import engine_of, opened
from serve.storage.migrating import migrate, newest
from serve.storage.places import Patience, PostgresqlServer
from serve.storage.postgresql import SilentServer
from serve.storage.urls import database_of
from tests.servers.fixtures import needs_postgres
from tests.servers.postgres import running_postgres

pytestmark = needs_postgres


def asked(place: PostgresqlServer, *names: str, is_reader: bool = False) -> list[str]:
    with opened(place, is_reader=is_reader) as engine, engine.connect() as connection:
        return [connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names]


def test_every_wait_of_the_server_has_an_end(migrated_postgres):
    place = PostgresqlServer(conninfo=migrated_postgres)
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    assert asked(place, *names) == ["200ms", "2s", "1s"]
    assert asked(place, "transaction_read_only", "transaction_isolation", is_reader=True) == [
        "on",
        "repeatable read",
    ]
    assert asked(place, "transaction_read_only", "TimeZone") == ["off", "UTC"]


def test_a_statement_is_cancelled_by_the_server_first(migrated_postgres):
    """The connection stays: another statement needs none anew."""
    engine = engine_of(PostgresqlServer(conninfo=migrated_postgres))
    with engine.connect() as connection:
        with pytest.raises(OperationalError) as told:
            connection.execute(text("SELECT pg_sleep(5)"))
        assert isinstance(told.value.orig, psycopg.errors.QueryCanceled)
        connection.rollback()
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    engine.dispose()


def test_a_client_gives_up_by_itself(migrated_postgres):
    patience = Patience(answer_s=0.2, connect_s=5.0, turn_s=5.0)
    place = PostgresqlServer(conninfo=migrated_postgres, patience=patience)
    engine = engine_of(place, is_reader=True)  # which holds no turn while the server goes on
    with engine.connect() as connection:
        connection.exec_driver_sql("SET statement_timeout = 0")
        with pytest.raises(OperationalError) as told:
            connection.execute(text("SELECT pg_sleep(5)"))
        assert isinstance(told.value.orig, SilentServer)
        assert told.value.connection_invalidated
    engine.dispose()


def certificate(folder: Path, name: str) -> Path:
    """A certificate of 127.0.0.1 by itself, and ``key.pem`` beside it."""
    path = folder / name
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
            *("-subj", "/CN=db", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(folder / "key.pem"), "-out", str(path)),
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return path


def test_passwords_and_certificates_are_checked(tmp_path, is_proving):
    if not is_proving:
        pytest.skip("starts a server with TLS: seconds; run by `make prove`")
    with running_postgres() as server, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        taken.close()
        own = certificate(server.folder, "own.pem")
        other = certificate(tmp_path, "other.pem")
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("CREATE ROLE me LOGIN PASSWORD 's3c/r3t'")
            connection.execute("CREATE DATABASE usage OWNER me")
        server.stop()
        server.allow_tls(own, server.folder / "key.pem", port=port)
        server.start()
        base = f"postgresql://me:s3c%2Fr3t@127.0.0.1:{port}/usage?sslmode="
        good = database_of(f"{base}verify-full&sslrootcert={own}", origin="it")
        assert migrate(good).after == newest()
        with opened(good) as engine, engine.connect() as connection:
            asked = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            assert connection.exec_driver_sql(asked).scalar_one() == "TLSv1.3"
        for url, said in {
            f"{base}verify-full&sslrootcert={other}": "certificate verify failed",
            f"{base}disable": "no encryption",
            f"{base}require".replace("s3c", "wrong"): "password authentication failed",
        }.items():
            with pytest.raises(StartupError, match=said) as told:
                migrate(database_of(url, origin="it"))
            assert "r3t" not in str(told.value)
