"""The certificates of authorities that TLS trusts here: the system's, or those of the environment.

OpenSSL opens the file that SSL_CERT_FILE names whatever it is: it waits for a pipe, reads a device
without end, and passes over what is not there, so that each connection fails for another reason.
The file is looked at before.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from models import plain_file
from models.errors import CertificatesError

MAX_BYTES = 16 << 20
"""A system's whole bundle has 0.3 MB."""
_BEGIN = (b"-----BEGIN CERTIFICATE-----", b"-----BEGIN TRUSTED CERTIFICATE-----")
_ADVICE = "Name a file of certificates in PEM, or unset the variable to trust the system's."


def check_certificates() -> None:
    """Check what SSL_CERT_FILE and SSL_CERT_DIR name, before a library reads them.

    Raises:
        CertificatesError: it holds no certificates, or cannot be read.
    """
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if file:
        _check_file(Path(file))
    if folder and not any(Path(name).is_dir() for name in folder.split(os.pathsep)):
        raise CertificatesError(
            f"SSL_CERT_DIR names {folder}, which is no folder. Name one, or unset the variable."
        )


def client_context(url: str) -> ssl.SSLContext:
    """A client's context for an address; for one without TLS it trusts nobody.

    Raises:
        CertificatesError: as in `check_certificates`.
    """
    if urlsplit(url).scheme != "https":
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    check_certificates()
    return ssl.create_default_context()


def _check_file(path: Path) -> None:
    try:
        raw = plain_file.read(path, MAX_BYTES, may_be_link=True)
        if not any(begin in raw for begin in _BEGIN):
            raise CertificatesError(
                f"SSL_CERT_FILE names {path}, which holds no certificate. {_ADVICE}"
            )
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise CertificatesError(
            f"SSL_CERT_FILE names {path}, of which a certificate is damaged "
            f"({error.reason or 'unreadable'}). {_ADVICE}"
        ) from None
    except OSError as error:
        raise CertificatesError(
            f"SSL_CERT_FILE names {path}, which cannot be read: {error.strerror or error}. "
            f"{_ADVICE}"
        ) from None
