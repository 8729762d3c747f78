"""Where public keys come from: a file that is followed, and a URL in the background."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve.errors import KeyStoreUnavailable, StartupError
from serve.governance.identity import jwks_sources
from serve.governance.identity.jwks import MAX_JWKS_BYTES
from serve.governance.identity.jwks_sources import FileJwks, UrlJwks, fetcher
from tests.certificates import server_context
from tests.serve.governance.token_makers import ec_jwk, ed_jwk, jwks, rsa_jwk

ALLOWED = frozenset({"RS256", "ES256", "EdDSA"})


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_file_is_followed_within_a_second(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, clock = tmp_path / "jwks.json", Clock()
    path.write_bytes(jwks(rsa_jwk()))
    source = FileJwks(path, ALLOWED, clock=clock)
    assert source.key("rsa")
    assert source.key("ec") is None
    path.write_bytes(jwks(ec_jwk(), ed_jwk()))
    assert source.key("ec") is None
    clock.now = 1.0
    assert source.key("ec")
    assert (source.key("rsa"), source.version) == (None, 1)
    path.write_text("{")
    for clock.now in (2.0, 3.0):
        assert source.key("ec"), "what cannot be read leaves the keys that are known"
    assert "JWKS file not reloaded" in caplog.text
    path.unlink()
    clock.now = 4.0
    assert source.key("ec")
    path.write_bytes(jwks(rsa_jwk()))
    clock.now = 5.0
    assert source.key("ec") is None


def test_a_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    path, clock = tmp_path / "jwks.json", Clock()
    path.write_bytes(jwks(rsa_jwk()))
    source = FileJwks(path, ALLOWED, clock=clock)
    path.write_bytes(jwks(ec_jwk()))
    path.chmod(0o666)
    clock.now = 1.0
    assert source.key("rsa")
    with pytest.raises(StartupError, match="group or others may write it"):
        FileJwks(path, ALLOWED)


@pytest.mark.parametrize("content", [None, b"{", b'{"keys": []}'])
def test_a_file_that_does_not_do_ends_the_start(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "jwks.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StartupError, match=r"JWKS file .*jwks\.json: "):
        FileJwks(path, ALLOWED)


async def test_keys_of_a_url_hold_for_a_time() -> None:
    answers: list[bytes | Exception] = [jwks(rsa_jwk()), OSError("away"), jwks(ec_jwk())]
    clock = Clock()

    def fetch() -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    source = UrlJwks(fetch, ALLOWED, max_stale_s=60, clock=clock)
    with pytest.raises(KeyStoreUnavailable):
        source.key("rsa")
    assert await source.refresh()
    assert (bool(source.key("rsa")), source.version) == (True, 1)
    clock.now = 60.0
    assert not await source.refresh()
    assert source.key("rsa")
    clock.now = 60.1
    with pytest.raises(KeyStoreUnavailable, match="API keys are not affected"):
        source.key("rsa")
    assert await source.refresh()
    assert source.key("rsa") is None
    assert (bool(source.key("ec")), source.version) == (True, 2)


async def test_a_key_that_is_not_known_has_the_set_fetched_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jwks_sources, "RETRY_INTERVAL_S", 0.0)
    count = 0

    def fetch() -> bytes:
        nonlocal count
        count += 1
        return jwks(rsa_jwk() if count == 1 else ec_jwk())

    source = UrlJwks(fetch, ALLOWED, max_stale_s=60)
    task = asyncio.create_task(source.run())
    try:
        async with asyncio.timeout(20):
            while source.version == 0:
                await asyncio.sleep(0.001)
            assert count == 1, "nobody asked for another"
            while source.key("ec") is None:
                await asyncio.sleep(0.001)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert count == 2


async def test_keys_that_hold_for_a_short_time_are_fetched_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else tokens would be refused from max_stale_s to the next fetch, again and again."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    def timeout(seconds: float) -> asyncio.Timeout:
        waits.append(seconds)
        raise asyncio.CancelledError

    monkeypatch.setattr(jwks_sources.asyncio, "sleep", sleep)
    monkeypatch.setattr(jwks_sources.asyncio, "timeout", timeout)
    for max_stale_s, wait_s in ((60, 20), (3600, 300)):
        waits.clear()
        with pytest.raises(asyncio.CancelledError):
            await UrlJwks(jwks, ALLOWED, max_stale_s).run()
        assert sum(waits) == wait_s


class Provider(http.server.BaseHTTPRequestHandler):
    """Answers by the path; counts what it was asked."""

    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("location", "/jwks")
            self.end_headers()
            return
        body = b" " * (MAX_JWKS_BYTES + 1) if self.path == "/huge" else jwks(rsa_jwk())
        self.send_response(500 if self.path == "/failing" else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *_words: object) -> None: ...


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    server.daemon_threads = True
    server.socket = server_context(tmp_path).wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    Provider.asked.clear()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_url_is_asked_by_its_own_ca_and_nothing_else_is(
    provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    ca = tmp_path / "certificate.pem"
    assert fetcher(f"{provider}/jwks?x=1", ca)() == jwks(rsa_jwk())
    for path, says in (
        ("/redirect", "status is 302"),
        ("/failing", "status is 500"),
        ("/huge", "more than"),
    ):
        with pytest.raises(ValueError, match=says):
            fetcher(provider + path, ca)()
    assert Provider.asked == ["/jwks?x=1", "/redirect", "/failing", "/huge"]


def test_a_server_of_another_ca_is_not_asked(provider: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    server_context(other)
    with pytest.raises(ssl.SSLCertVerificationError):
        fetcher(f"{provider}/jwks", other / "certificate.pem")()
    assert Provider.asked == []


def test_a_ca_that_is_none_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("none")
    for name in ("ca.pem", "missing.pem"):
        with pytest.raises(StartupError, match="CA file"):
            fetcher("https://127.0.0.1/jwks", tmp_path / name)
