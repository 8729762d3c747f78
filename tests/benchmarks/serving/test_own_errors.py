"""The load generator's own errors are known, and a server's are not taken for them."""

from __future__ import annotations

import errno
import os
import socket
import ssl

import pytest

from benchmarks.serving import own_errors


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EADDRNOTAVAIL, errno.ENETUNREACH])
def test_what_this_machine_has_not_is_its_own_error(code: int) -> None:
    assert os.strerror(code) in str(own_errors.words(OSError(code, os.strerror(code))))


def test_names_and_certificates_are_the_clients_own() -> None:
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert "not known here" in str(own_errors.words(unknown))
    untrusted = ssl.SSLCertVerificationError("self-signed certificate")
    untrusted.verify_message = "self-signed certificate"
    assert "SSL_CERT_FILE" in str(own_errors.words(untrusted))


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(errno.ECONNREFUSED, "refused"),
        ConnectionResetError(errno.ECONNRESET, "reset"),
        TimeoutError(errno.ETIMEDOUT, "timed out"),
        ssl.SSLError("wrong version number"),
    ],
)
def test_the_servers_are_not(error: OSError) -> None:
    assert own_errors.words(error) is None
