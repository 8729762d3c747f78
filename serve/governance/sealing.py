"""Sealing: texts that lie outside of this process, encrypted and bound to their place.

::

    a key file of the operator's: 32 bytes
        │ HMAC-SHA256, a label for each purpose
        ├─ keys of digests
        └─ keys of encryption ── one for each place ── AES-256-GCM, a random nonce

The place, such as a row's key, is part of what is authenticated and makes the key of its own, so a
value that was moved to another place cannot be opened there, and nonces of different places never
meet.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from models import private_file
from serve.errors import StartupError

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_MAX_FILE_BYTES: Final = 1024


class UnsealableError(Exception):
    """A value was sealed under another key or for another place, or is damaged."""


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A secret of ``KEY_BYTES``, which no message and no log line shows."""

    _secret: bytes = field(repr=False)

    def derived(self, label: bytes) -> bytes:
        """A key of 32 bytes for one purpose."""
        return hmac.digest(self._secret, b"intramural sealing 1: " + label, "sha256")

    def seal(self, place: bytes, plain: bytes) -> bytes:
        """The value, encrypted for this place: nonce, ciphertext, tag."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + AESGCM(self._of(place)).encrypt(nonce, plain, place)

    def unseal(self, place: bytes, sealed: bytes) -> bytes:
        """The value again.

        Raises:
            UnsealableError: it is none that was sealed with this key for this place.
        """
        nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            return AESGCM(self._of(place)).decrypt(nonce, rest, place)
        except (InvalidTag, ValueError):
            raise UnsealableError("it was not sealed with this key for this place") from None

    def _of(self, place: bytes) -> bytes:
        return self.derived(b"place: " + place)


def read_sealing_key(path: Path, flag: str) -> SealingKey:
    """The key in a file: 32 bytes in hexadecimal digits or base64.

    Args:
        flag: names the file in refusals.

    Raises:
        StartupError: the file cannot be used, is open to others, or holds no key.
    """
    advice = "Make one: `umask 077; openssl rand -hex 32 > FILE`."
    try:
        text = private_file.read(path, _MAX_FILE_BYTES).strip()
    except FileNotFoundError:
        raise StartupError(f"{flag} {path} is not there. {advice}") from None
    except OSError as error:  # another secret in its place would lose what is sealed
        raise StartupError(f"{flag} {path}: {error.strerror or error}.") from None
    secret = _decoded(text)
    if secret is None:
        raise StartupError(
            f"{flag} {path}: it holds no 32 bytes in hexadecimal digits or base64. {advice}"
        )
    return SealingKey(secret)


def _decoded(text: bytes) -> bytes | None:
    try:
        if len(text) == 2 * KEY_BYTES:
            return bytes.fromhex(text.decode("ascii"))
        secret = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None
    return secret if len(secret) == KEY_BYTES else None
