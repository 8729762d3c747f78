"""The database of the settings: none where nothing needs it, a file, or a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.config import Config
from serve.storage.configured import needs_database, place_of
from serve.storage.places import PostgresqlServer, SqliteFile


@pytest.mark.parametrize(
    ("settings", "needs"),
    [
        ({}, False),
        ({"usage_ledger": True}, True),
        ({"api_keys": "database"}, True),
        ({"limits_file": Path("limits.toml")}, True),
        ({"database_url_file": Path("url")}, True),
        ({"api_key_file": Path("keys.json")}, False),
    ],
)
def test_it_is_there_for_what_keeps_something(settings: dict[str, object], needs: bool) -> None:
    config = Config.model_construct(**{**Config().model_dump(), **settings})
    assert needs_database(config) is needs


def test_a_server_goes_before_the_file(tmp_path: Path) -> None:
    config = Config(state_dir=tmp_path)
    assert place_of(config) == SqliteFile(path=tmp_path / "intramural.db")
    url = tmp_path / "url"
    url.write_text("postgresql://me:secret@db.example/intramural?sslmode=verify-full")
    url.chmod(0o600)
    place = place_of(Config(state_dir=tmp_path, database_url_file=url))
    assert isinstance(place, PostgresqlServer)
    assert "secret" not in str(place) + repr(place)
