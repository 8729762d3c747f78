"""Addresses, origins and patience, from flags and from the environment."""

from __future__ import annotations

import pytest

from serve.config_sources import load_config
from serve.errors import StartupError


def test_a_server_listens_on_loopback_unless_told_otherwise() -> None:
    config = load_config({}, env={})
    assert (config.host, config.port, config.api_key_file) == ("127.0.0.1", 8000, None)


def test_origins_are_told_once_and_in_one_form() -> None:
    given = {"allowed_origins": ["https://Chat.example.org:443", "https://chat.example.org", " "]}
    assert load_config(given, env={}).allowed_origins == ("https://chat.example.org",)


@pytest.mark.parametrize(
    "given",
    [
        {"port": 65_536},
        {"port": -1},
        {"max_body_bytes": 1023},
        {"receive_timeout_s": 0},
        {"keep_alive_timeout": 0},
        {"shutdown_delay": -1},
        {"allowed_origins": ["chat.example.org"]},
    ],
)
def test_what_means_nothing_is_refused(given: dict[str, object]) -> None:
    with pytest.raises(StartupError):
        load_config(given, env={})
