"""URLs of stores: what is read, what is refused with what to do, and no password in any message."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from serve.errors import StartupError
from serve.storage.urls import cache_of, database_of, read_cache_url, read_database_url

SECRET = "s3cr3t/p:w"
QUOTED = "s3cr3t%2Fp%3Aw"


def url_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "url"
    path.write_text(text, "utf-8")
    path.chmod(mode)
    return path


def test_a_servers_url_is_read(tmp_path):
    url = f"postgresql://me:{QUOTED}@db.internal:6432/usage?sslmode=verify-full&sslrootcert=/ca.pem"
    server = read_database_url(url_file(tmp_path, f"{url}\n"))
    assert conninfo_to_dict(server.conninfo) == {
        "user": "me",
        "password": SECRET,
        "host": "db.internal",
        "port": "6432",
        "dbname": "usage",
        "sslmode": "verify-full",
        "sslrootcert": "/ca.pem",
        "gssencmode": "disable",
    }
    assert str(server) == "The database usage on db.internal"
    assert SECRET not in repr(server)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///usage?host=/run/postgresql",
        "postgres://me@127.0.0.1/usage",
        "postgresql://me@[::1]:5433/usage",
        "postgresql://me@localhost/usage",
        "postgresql://me@db/usage?sslmode=disable",
        "postgresql://me@one,two/usage?sslmode=require&target_session_attrs=read-write",
    ],
)
def test_urls_that_do(url):
    assert database_of(url, origin="it").name.startswith("usage on ")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://me:{}@db/usage", "no URL of postgresql://"),
        ("me:{}@db/usage", "no URL of postgresql://"),
        ("redis://:{}@db", "no URL of postgresql://"),
        ("postgresql://me:{}@db/usage", "does not say whether the connection is encrypted"),
        ("postgresql://me:{}@db/usage?sslmode=prefer", "does not say whether"),
        ("postgresql://me:{}@127.0.0.1,db/usage", "does not say whether"),
        ("postgresql://me:{}@127.0.0.1/", "names no database"),
        ("postgresql://me:{}@/usage", "names no host"),
        ("postgresql://me:{}@127.0.0.1/usage?connect_timeout=9", "parameter 'connect_timeout'"),
        ("postgresql://me:{}@127.0.0.1/usage?options=-cfsync%3Doff", "parameter 'options'"),
        ("postgresql://me:{}@127.0.0.1/usage#x", "has a # in it"),
        ("postgresql://me:{}@127.0.0.1:port/usage", "no valid host and port"),
        ("postgresql://me:{}@rest@127.0.0.1/usage", "has more than one @"),
        ("postgresql://me:{}@127.0.0.1:99999/usage", "no valid host and port"),
    ],
)
def test_urls_that_do_not(url, said):
    with pytest.raises(StartupError) as caught:
        database_of(url.format(QUOTED), origin="--database-url-file f")
    assert said in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=4, max_size=20))
def test_no_password_gets_into_a_message(password):
    """Also one whose characters are not written as they must be in a URL."""
    for url in (f"postgresql://me:<{password}>@db/usage", f"redis://:<{password}>@db:x"):
        for read in (database_of, cache_of):
            assert f"<{password}>" not in told(read, url)


def told(read, url: str) -> str:
    try:
        return str(read(url, origin="it"))
    except StartupError as error:
        return str(error)


@pytest.mark.parametrize(
    ("url", "read", "name"),
    [
        (f"valkey://:{QUOTED}@db", f"redis://:{QUOTED}@db", "valkey://db:6379"),
        ("redis://db:6380/3", "redis://db:6380/3", "redis://db:6380"),
        ("valkeys://db", "rediss://db", "valkeys://db:6379"),
        ("rediss://db?ssl_ca_certs=/ca", "rediss://db?ssl_ca_certs=/ca", "rediss://db:6379"),
        ("unix:///run/valkey.sock?db=2", "unix:///run/valkey.sock?db=2", "/run/valkey.sock"),
    ],
)
def test_urls_of_counters(url, read, name, tmp_path):
    server = read_cache_url(url_file(tmp_path, url))
    assert (server.url, server.name) == (read, name)
    assert "s3cr3t" not in repr(server)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://:{}@db", "no URL of valkey://"),
        ("redis://:{}@", "names no host"),
        ("redis://:{}@db/name", "something else than a database's number"),
        ("redis://:{}@db?ssl_ca_certs=/ca", "it takes none"),
        ("rediss://:{}@db?ssl_cert_reqs=none", "those there are: ssl_ca_certs"),
        ("unix://run/socket", "three slashes"),
    ],
)
def test_urls_of_no_counters(url, said):
    with pytest.raises(StartupError) as caught:
        cache_of(url.format(QUOTED), origin="--cache-url-file f")
    assert said in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("postgresql:///usage?host=/run", 0o644, "chmod 600"),
        ("", 0o600, "not one line"),
        ("postgresql:///a?host=/run\npostgresql:///b?host=/run", 0o600, "not one line"),
        ("postgresql:///a\x1b?host=/run", 0o600, "not one line"),
    ],
)
def test_files_that_do_not(tmp_path, text, mode, said):
    with pytest.raises(StartupError, match=said):
        read_database_url(url_file(tmp_path, text, mode))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(StartupError, match=r"--cache-url-file .*: No such file"):
        read_cache_url(tmp_path / "none")
