"""Loopback: what may be asked without keys, and every spelling that only looks like it."""

from __future__ import annotations

import pytest

from serve.governance.loopback import is_loopback_address, is_loopback_host, is_loopback_name

OURS = [
    *("localhost", "LOCALHOST", "LocalHost", "localhost.", "app.localhost", "a.b.LocalHost."),
    *("127.0.0.1", "127.0.0.1.", "127.1.2.3", "127.255.255.254", "0.0.0.0"),
    *("[::1]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::]", "[0::0]"),
    *("[::ffff:127.0.0.1]", "[::FFFF:7f00:1]", "[::ffff:127.9.9.9]", "[::ffff:0.0.0.0]"),
]
OTHERS = [
    *("", ".", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "localhost:"),
    *("evillocalhost", "localhost-evil", "xn--localhost", ".localhost", "a..localhost"),
    *("-.localhost", "_.localhost", "localhost..", "127.0.0.1..", "*.localhost", "localhost%00"),
    *("localhost\n", " localhost", "localhost ", "localhost/", "user@localhost", "localhost#evil"),
    *("localhost@evil.example", "127.0.0.1:80@evil.example", "localhost,evil.example"),
    *("localhost:80:80", "localhost:-1", "localhost:+80", "localhost:8a", "localhost:123456"),
    *("loca\u017fhost", "\uff1127.0.0.1", "127.0.0.\uff11"),
    *("2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "127.1", "127.0.1", "0"),
    *("127.0.0.01", "127.0.0.256", "128.0.0.1", "126.255.255.255", "10.0.0.1", "0.0.0.1"),
    *("::1", "::", "[127.0.0.1]", "[localhost]", "[::1", "::1]", "[[::1]]", "[]", "[::1%lo]"),
    *("[::ffff:10.0.0.1]", "[::ffff:127.0.0.256]", "[::fffe:7f00:1]", "[::ffff:0:127.0.0.1]"),
    *("[64:ff9b::127.0.0.1]", "[::127.0.0.1]", "[::2]", "[fe80::1]", "[::1]x"),
    *("0.0.0.0.evil.example", "a" * 250 + ".localhost", "localhost:" + "8" * 9),
]


@pytest.mark.parametrize("host", OURS)
def test_loopback_is_itself_with_any_port(host: str) -> None:
    for port in ("", ":0", ":80", ":8000", ":65535"):
        assert is_loopback_host(host + port), port


@pytest.mark.parametrize("host", OTHERS)
def test_what_only_looks_like_it_is_not(host: str) -> None:
    assert not is_loopback_host(host)
    assert not is_loopback_host(host + ":8000")


def test_a_server_listens_without_keys_on_less_than_it_is_asked_by() -> None:
    for text in ("127.0.0.1", "127.9.9.9", "::1", "0:0:0:0:0:0:0:1"):
        assert is_loopback_address(text), text
    for text in (
        "0.0.0.0",
        "::",
        "::ffff:127.0.0.1",
        "[::1]",
        "localhost",
        "",
        "127.1",
        "10.1.1.1",
    ):
        assert not is_loopback_address(text), text
    assert is_loopback_name("app.localhost")
    assert not is_loopback_name("localhost:80")
