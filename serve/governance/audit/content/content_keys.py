"""Content keys: the operator's secret, from a mounted file, that wraps the keys of all subjects.

The file has a key a line, 32 bytes in hexadecimal digits or base64. The first wraps; those below it
only unwrap what was wrapped before. To change the key, write a new one above it and restart: all
subjects' keys are wrapped anew, and the old line can go.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from models import private_file
from serve.errors import StartupError

KEY_BYTES: Final = 32
MAX_KEYS: Final = 16
_MAX_FILE_BYTES: Final = 4096
_ADVICE: Final = "Make one: `umask 077; openssl rand -hex 32 > FILE`."


@dataclass(frozen=True, slots=True)
class ContentKey:
    """One key that wraps others (RFC 3394); no message shows it."""

    _secret: bytes = field(repr=False)

    @property
    def key_id(self) -> str:
        """Public; 16 hexadecimal digits."""
        return hmac.digest(self._secret, b"intramural content key 1: id", "sha256").hex()[:16]

    def wrapped(self, secret: bytes) -> bytes:
        """A secret of 32 bytes as it may lie on the disk."""
        return aes_key_wrap(self._secret, secret)

    def unwrapped(self, wrapped: bytes) -> bytes:
        """The secret. Raises ValueError where it was wrapped by another key, or is damaged."""
        try:
            return aes_key_unwrap(self._secret, wrapped)
        except InvalidUnwrap:
            raise ValueError("it was wrapped by another key, or is damaged") from None


@dataclass(frozen=True, slots=True)
class ContentKeys:
    """The keys of a file: the first wraps, all of them unwrap."""

    keys: tuple[ContentKey, ...]

    @property
    def current(self) -> ContentKey:
        return self.keys[0]

    def find(self, key_id: str) -> ContentKey | None:
        """The key of that id."""
        return next((key for key in self.keys if key.key_id == key_id), None)


def read_content_keys(path: Path) -> ContentKeys:
    """The content keys of a file.

    Raises:
        StartupError: it cannot be read, is open to others, or a line of it is no key.
    """
    try:
        text = private_file.read(path, _MAX_FILE_BYTES).decode("ascii", "replace")
    except FileNotFoundError:
        raise StartupError(f"Content key file {path} is not there. {_ADVICE}") from None
    except OSError as error:
        raise StartupError(f"Content key file {path}: {error.strerror or error}.") from None
    keys = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        secret = _decoded(line.strip())
        if secret is None:
            raise StartupError(
                f"Content key file {path}, line {number}: it holds no 32 bytes in hexadecimal "
                f"digits or base64. {_ADVICE}"
            )
        keys.append(ContentKey(secret))
    if not keys:
        raise StartupError(f"Content key file {path} holds no key. {_ADVICE}")
    if len(keys) > MAX_KEYS:
        raise StartupError(f"Content key file {path} holds {len(keys)} keys: at most {MAX_KEYS}.")
    return ContentKeys(tuple(keys))


def _decoded(text: str) -> bytes | None:
    try:
        if len(text) == 2 * KEY_BYTES:
            return bytes.fromhex(text)
        secret = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None
    return secret if len(secret) == KEY_BYTES else None
