"""The pepper: a secret of the site's that is mixed into every stored hash of a key.

It comes from a file of its own (a mounted secret), so that whoever copies the key file or the
database can check no guess against it. Keys are stored with the pepper's id, a public check value:
hashes of another pepper are refused by name instead of matching nobody.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from pathlib import Path

from serve.errors import StartupError
from serve.governance.identity.private_file import read_private

MIN_PEPPER_BYTES = 32
MAX_PEPPER_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Pepper:
    """A secret of at least 32 bytes, which no message and no log line shows."""

    _secret: bytes = field(repr=False)

    @property
    def pepper_id(self) -> str:
        """Public; equal where the secret is. 16 hexadecimal digits."""
        return self.derived(b"id").hex()[:16]

    def mixed(self, digest: bytes) -> bytes:
        """The digest of a secret as it is stored. One HMAC."""
        return hmac.digest(self._secret, digest, "sha256")

    def derived(self, label: bytes) -> bytes:
        """A key of 32 bytes for another purpose."""
        return hmac.digest(self._secret, b"intramural pepper 1: " + label, "sha256")


def read_pepper(path: Path) -> Pepper:
    """The pepper in a file: its text without the white space around it.

    Raises:
        StartupError: the file cannot be used, is open to others, or holds too little.
    """
    advice = "Make one: `umask 077; openssl rand -hex 32 > FILE`."
    text = read_private(path, "Pepper file", MAX_PEPPER_BYTES, if_missing=advice).strip()
    secret = text.encode()
    if len(secret) < MIN_PEPPER_BYTES:
        raise StartupError(
            f"Pepper file {path} holds {len(secret)} bytes: at least {MIN_PEPPER_BYTES}. {advice}"
        )
    return Pepper(secret)


def opened_pepper(path: Path | None) -> Pepper | None:
    """The pepper of a setting that may name none. Raises StartupError."""
    return None if path is None else read_pepper(path)
