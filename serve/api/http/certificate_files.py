"""The server's certificate, its key and the clients' authorities: read from PEM files and checked.

Everything that would make handshakes fail later is found here, with what to do about it: OpenSSL
itself says little, asks the terminal for an encrypted key's password, and serves a chain in any
order. Files are read once per check, and what was checked is what OpenSSL is given.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final, NoReturn, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from models import plain_file
from models.rules.names import printable
from serve.config import Config
from serve.errors import StartupError

MAX_FILE_BYTES: Final = 1 << 20
"""A chain has some kilobytes; a system's whole bundle of authorities 0.3 MB."""
_OTHERS: Final = 0o077
_OTHERS_OF_A_VOLUME: Final = 0o037


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFiles:
    """The files that TLS is made of.

    Attributes:
        certificate: the server's, followed by its authorities'.
        key: the certificate's private key.
        client_authorities: those that sign clients' certificates; None asks for none.
    """

    certificate: Path
    key: Path
    client_authorities: Path | None = None

    @classmethod
    def of(cls, config: Config) -> Self | None:
        """The files that the settings name; None where the server speaks plain HTTP."""
        if config.ssl_certfile is None or config.ssl_keyfile is None:
            return None
        return cls(
            certificate=config.ssl_certfile,
            key=config.ssl_keyfile,
            client_authorities=config.ssl_ca_certs,
        )

    def signature(self) -> tuple[tuple[int, ...] | None, ...]:
        """A value that changes when one of the files does; None stands for one that is away."""
        return tuple(
            _signature(path)
            for path in (self.certificate, self.key, self.client_authorities)
            if path is not None
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCertificate:
    """The files' content, checked.

    Attributes:
        chain: the server's certificate first, each one issued by the next.
        authorities: in PEM; None where no clients' certificates are asked for.
    """

    chain: tuple[x509.Certificate, ...]
    authorities: str | None

    @property
    def not_after(self) -> datetime:
        """The end of the chain: that of its first certificate to end."""
        return self._first_to_end.not_valid_after_utc

    @property
    def not_before(self) -> datetime:
        """The beginning of that certificate."""
        return self._first_to_end.not_valid_before_utc

    @property
    def _first_to_end(self) -> x509.Certificate:
        return min(self.chain, key=lambda each: each.not_valid_after_utc)

    @property
    def names(self) -> tuple[str, ...]:
        """The names and addresses by which clients may ask, as far as the certificate tells."""
        try:
            found = self.chain[0].extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except (x509.ExtensionNotFound, ValueError):
            return ()
        names = (*found.value.get_values_for_type(x509.DNSName),)
        return *names, *map(str, found.value.get_values_for_type(x509.IPAddress))


def read_certificate(files: CertificateFiles, now: datetime) -> ServerCertificate:
    """Read the files and check that a server can speak TLS with them.

    Args:
        now: with a time zone.

    Raises:
        StartupError: one of them is not there, not PEM, open to others, encrypted, expired, of
            another key, or in the wrong order.
    """
    chain = _certificates(files.certificate, "TLS certificate")
    key = _public_part(files.key)
    if _public_bytes(chain[0]) != key:
        if any(_public_bytes(each) == key for each in chain[1:]):
            _refuse(
                "TLS certificate",
                files.certificate,
                "begins with another certificate than the key's. Put the server's own first, then "
                "the one that issued it, and so on; without the root",
            )
        _refuse("TLS key", files.key, f"is not the key of {_shown(files.certificate)}")
    _check_order(chain, files.certificate)
    for each in chain:
        _check_time(each, now, "TLS certificate", files.certificate)
    authorities = None
    if files.client_authorities is not None:
        found = _certificates(files.client_authorities, "Client authorities file")
        if all(each.not_valid_after_utc <= now for each in found):
            _check_time(found[0], now, "Client authorities file", files.client_authorities)
        authorities = "".join(each.public_bytes(Encoding.PEM).decode() for each in found)
    return ServerCertificate(chain=chain, authorities=authorities)


def _certificates(path: Path, what: str) -> tuple[x509.Certificate, ...]:
    raw = _read(path, what)
    try:
        found = tuple(x509.load_pem_x509_certificates(raw))
        for each in found:
            _ = each.public_key(), each.subject, each.issuer  # parsed when asked for
    except (ValueError, UnsupportedAlgorithm) as error:
        if b"-----BEGIN CERTIFICATE-----" in raw:
            _refuse(what, path, f"has a certificate that is damaged ({_reason(error)})")
        _refuse(
            what,
            path,
            "holds no certificate in PEM ('-----BEGIN CERTIFICATE-----'). From DER: "
            "`openssl x509 -inform der -in FILE -out NEW`",
        )
    return found


def _public_part(path: Path) -> bytes:
    """The public key of the private one in the file, to compare. The private one is dropped."""
    what = "TLS key"
    raw = _read(path, what)
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    # In a volume of Kubernetes it is root's, and read by the pod's group alone.
    is_volume = found.st_uid == 0 and os.geteuid() != 0
    if mode & (_OTHERS_OF_A_VOLUME if is_volume else _OTHERS):
        raise StartupError(
            f"TLS key {_shown(path)} has mode {mode:04o}: group or others may use it. "
            f"Run: chmod 600 {_shown(path)}"
        )
    try:
        key = load_pem_private_key(raw, None)
    except TypeError:
        _refuse(
            what,
            path,
            "is encrypted, and nobody is there to type its password. Decrypt it into a file that "
            "the server alone may read: `openssl pkey -in FILE -out NEW`",
        )
    except (ValueError, UnsupportedAlgorithm) as error:
        if b"PRIVATE KEY-----" in raw:
            _refuse(what, path, f"is damaged ({_reason(error)})")
        _refuse(what, path, "holds no private key in PEM ('-----BEGIN PRIVATE KEY-----')")
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _public_bytes(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _check_order(chain: tuple[x509.Certificate, ...], path: Path) -> None:
    for position, (issued, issuer) in enumerate(pairwise(chain), start=1):
        try:
            issued.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            _refuse(
                "TLS certificate",
                path,
                f"has certificates out of order: number {position} "
                f"({_shown(issued.subject.rfc4514_string())}) was not issued by number "
                f"{position + 1} ({_shown(issuer.subject.rfc4514_string())}). The server's own "
                "comes first, then the one that issued it, and so on; without the root",
            )


def _check_time(certificate: x509.Certificate, now: datetime, what: str, path: Path) -> None:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now >= end:
        _refuse(
            what,
            path,
            f"has expired: it ended {_day(end)}, and it is {_day(now)}. Put a new one in its place",
        )
    if now < begin:
        _refuse(
            what,
            path,
            f"is not valid yet: it begins {_day(begin)}, and it is {_day(now)}. Is the clock right",
        )


def _read(path: Path, what: str) -> bytes:
    try:
        return plain_file.read(path, MAX_FILE_BYTES, may_be_link=True)
    except FileNotFoundError:
        raise StartupError(f"{what} {_shown(path)} is not there.") from None
    except OSError as error:
        reason = error.strerror or str(error)
        reason = f"it {reason}" if reason.startswith(("is ", "has ")) else reason
        raise StartupError(f"{what} {_shown(path)} cannot be used: {reason}.") from None


def _signature(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode)


def _day(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _reason(error: Exception) -> str:
    return _shown(str(error))[:120]


def _shown(text: object) -> str:
    return printable(str(text))


def _refuse(what: str, path: Path, why: str) -> NoReturn:
    raise StartupError(f"{what} {_shown(path)} {why}.") from None
