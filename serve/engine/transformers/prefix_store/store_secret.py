"""The secret of a folder of saved prefixes, and the keys that are derived from it.

::

    --prefix-cache-key-file, or DIR/store.key (32 bytes, made here once)
        │ HKDF-SHA256 (RFC 5869), a label for each
        ├─ cache salts   so that tenants have the same salts after a restart
        ├─ key id        tells whether a file is under this secret, and nothing else
        └─ file key      of one file, with the file's own random salt

With DIR/store.key the key lies beside what it locks: whoever can read the folder can read what is
in it. A key file of the operator's may lie elsewhere, and then the folder alone says nothing.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from models import durable, private_file
from serve.engine.transformers.prefix_store import private_files
from serve.errors import StartupError

SECRET_BYTES = 32
KEY_ID_BYTES = 16
_MAX_FILE_BYTES = 1024
_NAME = "store.key"


@dataclass(frozen=True, slots=True)
class StoreSecret:
    """A secret of ``SECRET_BYTES``, which no message and no log line shows."""

    _secret: bytes = field(repr=False)

    @property
    def cache_salts_key(self) -> bytes:
        """The key of the salts that part tenants."""
        return self._derived(b"cache salts", salt=None, num_bytes=32)

    @property
    def key_id(self) -> bytes:
        """Public; equal where the secret is."""
        return self._derived(b"key id", salt=None, num_bytes=KEY_ID_BYTES)

    def file_key(self, salt: bytes) -> bytes:
        """A key for AES-256 of the one file that has this salt."""
        return self._derived(b"file", salt=salt, num_bytes=32)

    def _derived(self, label: bytes, *, salt: bytes | None, num_bytes: int) -> bytes:
        info = b"intramural prefix cache 1: " + label
        return HKDF(hashes.SHA256(), num_bytes, salt, info).derive(self._secret)


def open_secret(folder: Path, key_file: Path | None) -> StoreSecret:
    """The secret of a folder, which is made where it is not there yet, with its own secret.

    Args:
        folder: of the saved prefixes.
        key_file: of the operator's: 32 bytes in hexadecimal digits or base64.

    Raises:
        StartupError: one of them cannot be used, or is open to others.
    """
    try:
        private_files.make_private(folder)
        secret = _own_secret(folder) if key_file is None else None
    except OSError as error:
        raise StartupError(
            f"--prefix-cache-dir {folder}: {_place(error, folder)}{error.strerror or error}. It "
            "holds what prompts are made of: name a folder that this user alone may enter, or one "
            "that is not there yet."
        ) from None
    return StoreSecret(secret) if secret is not None else _operators_secret(key_file or folder)


def _place(error: OSError, folder: Path) -> str:
    name = error.filename
    return "" if name is None or Path(name) == folder else f"{Path(name).name} "


def _own_secret(folder: Path) -> bytes:
    """The secret in the folder; one is made where there is none. Several servers may ask at once.

    Raises:
        OSError: it cannot be read or made, or is not as it was made.
    """
    path = folder / _NAME
    lock = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        durable.lock(lock)
        if not path.exists() and not path.is_symlink():
            durable.write_whole(path, secrets.token_bytes(SECRET_BYTES), mode=0o600)
    finally:
        os.close(lock)
    with private_files.opened(path) as file:
        secret = file.read(SECRET_BYTES + 1)
    if len(secret) != SECRET_BYTES:
        raise OSError(0, "is damaged: remove it, and what was saved under it", str(path))
    return secret


def _operators_secret(path: Path) -> StoreSecret:
    try:
        text = private_file.read(path, _MAX_FILE_BYTES).strip()
    except OSError as error:
        raise StartupError(f"--prefix-cache-key-file {path}: {error.strerror or error}.") from None
    secret = _decoded(text)
    if secret is None:
        raise StartupError(
            f"--prefix-cache-key-file {path}: it holds no 32 bytes in hexadecimal digits or "
            "base64. Make one: `openssl rand -hex 32`."
        )
    return StoreSecret(secret)


def _decoded(text: bytes) -> bytes | None:
    try:
        if len(text) == 2 * SECRET_BYTES:
            return bytes.fromhex(text.decode("ascii"))
        secret = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None
    return secret if len(secret) == SECRET_BYTES else None
