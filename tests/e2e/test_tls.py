"""A server process with a certificate, and our own clients of it."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from serve.governance.identity import keys
from tests.certificates import Authority
from tests.e2e.server import REPOSITORY, START_TIMEOUT_S, environment, run_serve, serving

FAKE = ["--engine", "fake", "--model", "demo"]


def shown(port: int, context: ssl.SSLContext) -> int:
    """The serial number of the certificate that a new connection gets."""
    with (
        socket.create_connection(("127.0.0.1", port)) as raw,
        context.wrap_socket(raw, server_hostname="127.0.0.1") as connection,
    ):
        found = connection.getpeercert()
    assert found is not None
    return int(str(found["serialNumber"]), 16)


def test_a_process_serves_https_and_our_clients_ask_it(tmp_path: Path, is_proving: bool) -> None:
    if not is_proving:
        pytest.skip("three processes: make prove")
    authority = Authority(tmp_path)
    issued = authority.issue()
    key = keys.create(tmp_path / "keys.json")
    tls = ["--ssl-certfile", str(issued.chain), "--ssl-keyfile", str(issued.secret)]
    known = {"SSL_CERT_FILE": str(authority.file), "OPENAI_API_KEY": key}
    with serving(tmp_path, [*FAKE, "--api-key-file", str(tmp_path / "keys.json"), *tls]) as server:
        assert f"https://127.0.0.1:{server.url.rpartition(':')[2]}" in server.log.read_text()
        for words in (["doctor", "--url", server.url], ["chat", "--url", server.url, "hi"]):
            ran = run_serve(*words, **known)
            assert ran.returncode == 0, ran.stdout + ran.stderr
        refused = run_serve("chat", "--url", server.url, "hi", OPENAI_API_KEY=key)
        assert refused.returncode != 0
        assert "SSL_CERT_FILE" in refused.stderr
        with pytest.raises(httpx.HTTPError):
            httpx.get(server.url.replace("https", "http") + "/livez")
        port, context = int(server.url.rpartition(":")[2]), authority.client()
        assert shown(port, context) == issued.certificate.serial_number
        second = authority.issue()
        issued.secret.write_bytes(second.secret.read_bytes())
        issued.chain.write_bytes(second.chain.read_bytes())
        server.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + START_TIMEOUT_S
        while shown(port, context) != second.certificate.serial_number:
            assert time.monotonic() < deadline
        assert server.terminate() == 0


def test_what_is_wrong_with_a_certificate_ends_the_start(tmp_path: Path, is_proving: bool) -> None:
    if not is_proving:
        pytest.skip("a process each: make prove")
    authority = Authority(tmp_path)
    issued, other = authority.issue(), authority.issue()
    for certificate, key, words in (
        (issued.chain, other.secret, "is not the key of"),
        (issued.chain, tmp_path / "none.key", "is not there"),
    ):
        given = ["--ssl-certfile", str(certificate), "--ssl-keyfile", str(key), "--port", "0"]
        ended = run_serve(*FAKE, *given)
        assert (ended.returncode, "Traceback" in ended.stderr) == (2, False)
        assert words in ended.stderr
    given = ["--host", "0.0.0.0", "--api-key-file", str(tmp_path / "keys.json")]
    ended = run_serve(*FAKE, *given)
    assert (ended.returncode, "--behind-proxy" in ended.stderr) == (2, True)


def test_openssl_cannot_have_the_handshake_done_again(tmp_path: Path, is_proving: bool) -> None:
    """Renegotiation is where a client could make the server work for nothing."""
    if not is_proving:
        pytest.skip("a process: make prove")
    issued = Authority(tmp_path).issue()
    tls = ["--ssl-certfile", str(issued.chain), "--ssl-keyfile", str(issued.secret)]
    with serving(tmp_path, [*FAKE, *tls]) as server:
        address = server.url.removeprefix("https://")
        asked = subprocess.run(
            ["openssl", "s_client", "-connect", address, "-tls1_2"],
            input="R\n",
            cwd=REPOSITORY,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        said = asked.stdout + asked.stderr
        assert "RENEGOTIATING" in said
        assert "no renegotiation" in said.lower()
        assert "Compression: NONE" in said
