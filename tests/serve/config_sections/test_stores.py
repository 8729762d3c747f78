"""Stores are named by files, and a URL that stands in a file's place is repeated nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.config_sources import load_config
from serve.errors import StartupError


def test_there_is_no_store_unless_one_is_named() -> None:
    config = load_config({}, env={})
    assert (config.database_url_file, config.cache_url_file) == (None, None)
    config = load_config({"database_url_file": "/etc/stores/database-url"}, env={})
    assert config.database_url_file == Path("/etc/stores/database-url")


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("database_url_file", "postgresql://ward:s3cret@db.corp.example/intramural"),
        ("cache_url_file", "valkeys://:s3cret@cache.corp.example"),
    ],
)
def test_a_url_is_no_file_and_its_password_is_not_told(name: str, url: str) -> None:
    flag = "--" + name.replace("_", "-")
    with pytest.raises(StartupError, match=f"{flag}.*it is a URL.*mode 600") as refused:
        load_config({name: url}, env={})
    assert "s3cret" not in str(refused.value)
    with pytest.raises(StartupError) as refused:
        load_config({}, env={f"INTRAMURAL_{name.upper()}": url})
    assert "s3cret" not in str(refused.value)
