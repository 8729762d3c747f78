"""Where the server listens, and what it says when it cannot."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from serve.api.http.listening import bind, check_exposure, in_url
from serve.config import Config
from serve.errors import StartupError


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "localhost", "::1"])
def test_loopback_needs_no_keys(host: str) -> None:
    check_exposure(Config(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "server.example"])
def test_anywhere_else_does(host: str, tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"keys create.*--api-key-file.*127\.0\.0\.1"):
        check_exposure(Config(host=host))
    check_exposure(Config(host=host, api_key_file=tmp_path / "keys.json"))


def test_a_port_that_is_taken_is_named_with_what_to_do() -> None:
    with contextlib.closing(bind("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(StartupError, match=rf"127\.0\.0\.1:{port}.*--port"):
            bind("127.0.0.1", port)


def test_an_ipv6_address_is_in_brackets_in_a_url() -> None:
    assert (in_url("::1"), in_url("127.0.0.1")) == ("[::1]", "127.0.0.1")
