"""Where the server listens, and what it says when it cannot."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest

from serve.api.http import listening as listening_module
from serve.api.http.listening import (
    _has_ipv6,
    check_exposure,
    in_url,
    listen,
    listening,
    url_of,
)
from serve.config import Config
from serve.errors import StartupError


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "localhost", "::1"])
def test_loopback_needs_no_keys(host: str) -> None:
    check_exposure(Config(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "server.example"])
def test_anywhere_else_does(host: str, tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"keys create.*--api-key-file.*127\.0\.0\.1"):
        check_exposure(Config(host=host))
    keys = tmp_path / "keys.json"
    with pytest.raises(StartupError, match=r"no TLS.*--ssl-certfile.*--behind-proxy.*127\.0\.0\.1"):
        check_exposure(Config(host=host, api_key_file=keys))
    check_exposure(Config(host=host, api_key_file=keys, behind_proxy=True))
    tls = {"ssl_certfile": tmp_path / "tls.crt", "ssl_keyfile": tmp_path / "tls.key"}
    check_exposure(Config(host=host, api_key_file=keys, **tls))
    for open_to_all in ({"behind_proxy": True}, tls):
        with pytest.raises(StartupError, match="no API keys"):
            check_exposure(Config(host=host, **open_to_all))
    clients = {"ssl_ca_certs": tmp_path / "ca.pem", "client_cert_map": tmp_path / "clients.toml"}
    check_exposure(Config(host=host, **tls, **clients))
    for known in ({"api_keys": "database"}, {"jwt_file": tmp_path / "jwt.toml"}):
        check_exposure(Config(host=host, behind_proxy=True, **known))


def test_a_port_that_is_taken_is_named_with_what_to_do() -> None:
    with listening("127.0.0.1", 0) as (listener,):
        port = listener.getsockname()[1]
        with pytest.raises(StartupError, match=rf"127\.0\.0\.1:{port}.*--port"):
            listen("127.0.0.1", port)


def test_a_url_has_a_name_of_the_certificate() -> None:
    with listening("127.0.0.1", 0) as listeners:
        port = listeners[0].getsockname()[1]
        for names, host in (
            ((), "127.0.0.1"),
            (("llm.corp.example", "127.0.0.1"), "127.0.0.1"),
            (("*.corp.example", "llm.corp.example"), "llm.corp.example"),
            (("*.corp.example",), "127.0.0.1"),
        ):
            assert url_of("127.0.0.1", listeners, names) == f"https://{host}:{port}"


def test_an_ipv6_address_is_in_brackets_in_a_url() -> None:
    assert (in_url("::1"), in_url("127.0.0.1")) == ("[::1]", "127.0.0.1")


@pytest.mark.parametrize("host", ["LOCALHOST", "localhost.", "app.localhost", "[::1]", "0::1"])
def test_loopback_in_any_spelling_needs_no_keys(host: str) -> None:
    check_exposure(Config(host=host))


@pytest.mark.parametrize(
    "host", ["", "0", "127.1", "::ffff:127.0.0.1", "localhost.evil.example", "127.0.0.1.x", "[::]"]
)
def test_what_only_looks_like_loopback_needs_keys(host: str) -> None:
    with pytest.raises(StartupError, match="no API keys"):
        check_exposure(Config(host=host))


@pytest.mark.parametrize("origin", ["*", "null"])
def test_every_web_page_may_ask_only_where_there_are_keys(origin: str, tmp_path: Path) -> None:
    origins = ("http://localhost:5173", origin)
    with pytest.raises(StartupError, match=r"every web page.*keys create.*--api-key-file"):
        check_exposure(Config(allowed_origins=origins))
    check_exposure(Config(allowed_origins=origins, api_key_file=tmp_path / "keys.json"))
    check_exposure(Config(allowed_origins=origins[:1]))


@pytest.mark.parametrize(
    "host", ["localhost:8000", "127.0.0.1:80", "[::1]:8000", "http://localhost", "a/b"]
)
def test_a_host_with_a_port_or_a_scheme_is_told_where_it_goes(host: str, tmp_path: Path) -> None:
    for keys in (None, tmp_path / "keys.json"):
        with pytest.raises(StartupError, match=r"give that alone, and the port by --port"):
            check_exposure(Config(host=host, api_key_file=keys))


HAS_IPV6 = _has_ipv6()


def reached(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as client:
        return client.connect_ex((host, port)) == 0


@pytest.mark.parametrize(
    ("host", "addresses", "url"),
    [
        ("127.0.0.1", ["127.0.0.1"], "http://127.0.0.1:{}"),
        ("127.0.0.2", ["127.0.0.2"], "http://127.0.0.2:{}"),
        ("localhost", ["127.0.0.1", "::1"], "http://localhost:{}"),
        ("LocalHost.", ["127.0.0.1", "::1"], "http://localhost:{}"),
        ("app.localhost", ["127.0.0.1", "::1"], "http://localhost:{}"),
        ("::1", ["::1"], "http://[::1]:{}"),
        ("[0:0::1]", ["::1"], "http://[::1]:{}"),
        ("::", ["127.0.0.1", "::1"], "http://[::]:{}"),
        ("[0::0]", ["127.0.0.1", "::1"], "http://[::]:{}"),
        ("*", ["127.0.0.1", "::1"], "http://[::]:{}"),
        ("0.0.0.0", ["127.0.0.1"], "http://0.0.0.0:{}"),
    ],
)
def test_a_host_is_all_of_its_addresses_on_one_port(
    host: str, addresses: list[str], url: str
) -> None:
    if not HAS_IPV6 and addresses == ["::1"]:
        pytest.skip("this machine has no IPv6")
    with listening(host, 0) as listeners:
        (port,) = {listener.getsockname()[1] for listener in listeners}
        expected = {address for address in addresses if HAS_IPV6 or ":" not in address}
        assert {a for a in ("127.0.0.1", "127.0.0.2", "::1") if reached(a, port)} >= expected
        assert reached("::1", port) is ("::1" in expected)
        if HAS_IPV6 or ":" not in url:
            assert url_of(host, listeners) == url.format(port)
    assert not any(reached(address, port) for address in expected), "closed with the block"


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6")
def test_a_port_that_one_of_the_addresses_has_not_free_is_named() -> None:
    with listening("::1", 0) as (taken,):
        port = taken.getsockname()[1]
        for host in ("localhost", "::"):
            with pytest.raises(StartupError, match=rf"\[::1?\]:{port}.*in use.*--port"):
                listen(host, port)
        with listening("127.0.0.1", port):
            pass  # nothing was left behind


def test_a_free_port_is_free_on_every_address(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[str, int]] = []

    def bound(address: str, port: int) -> socket.socket:
        tried.append((address, port))
        if address == "::1" and sum(a == "::1" for a, _ in tried) < 3:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return real("127.0.0.1", 0 if address == "::1" else port)

    real = listening_module._bound
    monkeypatch.setattr(listening_module, "_bound", bound)
    for listener in listen("localhost", 0):
        listener.close()
    assert [address for address, _ in tried] == ["127.0.0.1", "::1"] * 3
    assert all(port > 0 for address, port in tried if address == "::1")


@pytest.mark.parametrize("error", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
def test_a_machine_without_ipv6_listens_on_what_it_has(
    monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    def bound(address: str, port: int) -> socket.socket:
        if ":" in address:
            raise OSError(error, "none here")
        return real(address, port)

    real = listening_module._bound
    monkeypatch.setattr(listening_module, "_bound", bound)
    for host, url in (("localhost", "http://localhost:"), ("::", "http://0.0.0.0:")):
        with listening(host, 0) as listeners:
            assert len(listeners) == 1
            assert url_of(host, listeners).startswith(url)
    with pytest.raises(StartupError, match=r"\[::1\]:0: none here.*--host"):
        listen("::1", 0)


@pytest.mark.parametrize("host", ["", "host.invalid", "192.0.2.1", "[127.0.0.1]", "x" * 70, "a b"])
def test_a_host_that_is_no_address_of_this_machine_says_so(host: str) -> None:
    with pytest.raises(StartupError, match="--host"):
        listen(host, 0)
