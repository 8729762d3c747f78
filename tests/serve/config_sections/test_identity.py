"""Where keys and tokens are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from serve.config import Config
from serve.config_sources import load_config
from serve.errors import StartupError


@pytest.mark.parametrize(
    ("given", "needs_key"),
    [
        ({}, False),
        ({"api_key_file": Path("keys.json")}, True),
        ({"api_keys": "database"}, True),
        ({"jwt_file": Path("jwt.toml")}, True),
    ],
)
def test_whoever_can_be_known_must_be(given: dict[str, Any], needs_key: bool) -> None:
    assert Config(**given).needs_key is needs_key


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"api_keys": "database", "api_key_file": "keys.json"}, "two places of keys"),
        ({"key_pepper_file": "pepper"}, "--key-pepper-file is for stored keys"),
        ({"api_keys": "redis"}, "api-keys"),
        ({"jwt_file": ""}, "it is empty"),
    ],
)
def test_what_does_not_go_together_is_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(StartupError, match=says):
        load_config(given, env={})
