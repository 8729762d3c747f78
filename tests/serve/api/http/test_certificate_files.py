"""The files of a server's certificate: what is refused, and in what words."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from serve.api.http.certificate_files import CertificateFiles, read_certificate
from serve.errors import StartupError
from tests.certificates import Authority, Issued

NOW = datetime.now(UTC)


def files_of(issued: Issued, authorities: Path | None = None) -> CertificateFiles:
    return CertificateFiles(
        certificate=issued.chain, key=issued.secret, client_authorities=authorities
    )


def test_a_chain_with_its_key_is_read(tmp_path: Path) -> None:
    root = Authority(tmp_path, "root")
    below = Authority(tmp_path, "below", root)
    issued = below.issue(ends=timedelta(days=9))
    found = read_certificate(files_of(issued, root.file), NOW)
    assert found.chain == (issued.certificate, below.certificate)
    assert found.not_after == issued.certificate.not_valid_after_utc
    assert found.names == ("127.0.0.1",)
    assert found.authorities is not None
    assert found.authorities.encode() == root.file.read_bytes()


def test_certificate_and_key_may_be_one_file(tmp_path: Path) -> None:
    issued = Authority(tmp_path).issue()
    issued.secret.write_bytes(issued.secret.read_bytes() + issued.chain.read_bytes())
    both = CertificateFiles(certificate=issued.secret, key=issued.secret)
    assert read_certificate(both, NOW).chain == (issued.certificate,)


def test_a_link_is_followed_as_volumes_and_certbot_have_them(tmp_path: Path) -> None:
    issued = Authority(tmp_path).issue()
    (tmp_path / "live").mkdir()
    for path, name in ((issued.chain, "tls.crt"), (issued.secret, "tls.key")):
        (tmp_path / "live" / name).symlink_to(path)
    files = CertificateFiles(
        certificate=tmp_path / "live" / "tls.crt", key=tmp_path / "live" / "tls.key"
    )
    assert read_certificate(files, NOW).chain == (issued.certificate,)


def encrypt(issued: Issued, _authority: Authority) -> None:
    protection = BestAvailableEncryption(b"secret")
    raw = issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
    issued.secret.write_bytes(raw)


def of_another(issued: Issued, authority: Authority) -> None:
    issued.secret.write_bytes(authority.issue("other").secret.read_bytes())


def in_the_wrong_order(issued: Issued, authority: Authority) -> None:
    issued.chain.write_bytes(authority.file.read_bytes() + issued.pem)


def with_a_stranger_behind(issued: Issued, authority: Authority) -> None:
    issued.chain.write_bytes(issued.pem + authority.issue("stranger").pem)


def cut(issued: Issued, _authority: Authority) -> None:
    raw = issued.chain.read_bytes()
    issued.chain.write_bytes(raw[:200] + b"\n-----END CERTIFICATE-----\n")


def as_der(issued: Issued, _authority: Authority) -> None:
    issued.chain.write_bytes(issued.certificate.public_bytes(Encoding.DER))


def cut_key(issued: Issued, _authority: Authority) -> None:
    issued.secret.write_bytes(issued.secret.read_bytes()[:80] + b"\n-----END PRIVATE KEY-----\n")


def a_pipe(issued: Issued, _authority: Authority) -> None:
    issued.secret.unlink()
    os.mkfifo(issued.secret, 0o600)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (encrypt, r"is encrypted.*openssl pkey"),
        (of_another, r"TLS key .* is not the key of"),
        (in_the_wrong_order, r"begins with another certificate.*own first"),
        (with_a_stranger_behind, r"out of order: number 1 \(CN=server\).*number 2 \(CN=stranger\)"),
        (cut, r"certificate that is damaged"),
        (as_der, r"no certificate in PEM.*openssl x509 -inform der"),
        (cut_key, r"TLS key .* is damaged"),
        (a_pipe, r"not a plain file but a pipe"),
        (lambda issued, _: issued.secret.chmod(0o640), r"mode 0640.*chmod 600"),
        (lambda issued, _: issued.secret.write_text("no"), r"no private key in PEM"),
        (lambda issued, _: issued.secret.unlink(), r"TLS key .* is not there"),
        (lambda issued, _: issued.chain.unlink(), r"TLS certificate .* is not there"),
        (lambda issued, _: issued.chain.write_bytes(b"x" * (1 << 20) * 2), r"at most 1,048,576"),
    ],
)
def test_files_that_do_not_do_are_refused(
    tmp_path: Path, spoil: Callable[[Issued, Authority], object], words: str
) -> None:
    authority = Authority(tmp_path)
    issued = authority.issue()
    spoil(issued, authority)
    with pytest.raises(StartupError, match=words) as refusal:
        read_certificate(files_of(issued), NOW)
    assert "PRIVATE KEY-----\nM" not in str(refusal.value)


@pytest.mark.parametrize(
    ("begins", "ends", "words"),
    [
        (timedelta(days=-9), timedelta(days=-1), "has expired: it ended"),
        (timedelta(days=1), timedelta(days=9), "is not valid yet.*clock"),
    ],
)
def test_a_certificate_out_of_its_time_is_refused(
    tmp_path: Path, begins: timedelta, ends: timedelta, words: str
) -> None:
    issued = Authority(tmp_path).issue(begins=begins, ends=ends)
    with pytest.raises(StartupError, match=words):
        read_certificate(files_of(issued), NOW)


def test_authorities_are_certificates_too(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    issued = authority.issue()
    with pytest.raises(StartupError, match=r"Client authorities file .* no certificate in PEM"):
        read_certificate(files_of(issued, issued.secret), NOW)


def test_keys_of_rsa_do(tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    issued = Authority(tmp_path).issue(key=key)
    assert read_certificate(files_of(issued), NOW).chain == (issued.certificate,)
