"""Certificates made in a moment: one that nobody trusts, and an authority's."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
    CertificatePublicKeyTypes,
)
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


def server_context(folder: Path) -> ssl.SSLContext:
    """A certificate of our own for 127.0.0.1, which nobody trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "emulator")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(plain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


@dataclass(frozen=True)
class Issued:
    """A certificate with its private key, in files of one folder."""

    certificate: x509.Certificate
    key: CertificateIssuerPrivateKeyTypes
    chain: Path
    secret: Path

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)


class Authority:
    """An authority that issues whatever a test asks for.

    Args:
        folder: for its files.
        name: its common name.
        above: the authority that issued this one's certificate; None for a root.
    """

    def __init__(self, folder: Path, name: str = "authority", above: Authority | None = None):
        self._folder, self._name, self._above = folder, name, above
        self._num_issued = 0
        self.key = ec.generate_private_key(ec.SECP256R1())
        issuer = above or self
        self.certificate = (
            _builder(subject_of(name), issuer.subject, self.key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(issuer.key, hashes.SHA256())
        )
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(self.certificate.public_bytes(Encoding.PEM))

    @property
    def subject(self) -> x509.Name:
        return subject_of(self._name)

    def issue(
        self,
        name: str = "server",
        *,
        names: Sequence[x509.GeneralName] = (x509.IPAddress(ip_address("127.0.0.1")),),
        begins: timedelta = timedelta(hours=-1),
        ends: timedelta = timedelta(days=365),
        subject: x509.Name | None = None,
        key: CertificateIssuerPrivateKeyTypes | None = None,
    ) -> Issued:
        """A certificate, its chain (without the root) and its key in files of their own.

        Args:
            begins: from now, as ``ends``.
        """
        self._num_issued += 1
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = subject_of(name) if subject is None else subject
        builder = _builder(subject, self.subject, key.public_key(), begins, ends)
        if names:
            is_critical = not list(subject)
            builder = builder.add_extension(x509.SubjectAlternativeName(names), is_critical)
        certificate = builder.sign(self.key, hashes.SHA256())
        stem = self._folder / f"{name}-{self._num_issued}"
        issued = Issued(certificate, key, stem.with_suffix(".crt"), stem.with_suffix(".key"))
        above = b"" if self._above is None else self.certificate.public_bytes(Encoding.PEM)
        issued.chain.write_bytes(issued.pem + above)
        issued.secret.touch(mode=0o600)
        issued.secret.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        return issued

    def client(self, shown: Issued | None = None) -> ssl.SSLContext:
        """A client's context that trusts this authority alone, and shows a certificate."""
        context = ssl.create_default_context(cafile=self.file)
        if shown is not None:
            context.load_cert_chain(shown.chain, shown.secret)
        return context


def subject_of(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: CertificatePublicKeyTypes,
    begins: timedelta = timedelta(hours=-1),
    ends: timedelta = timedelta(days=730),
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
    )
