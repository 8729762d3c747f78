"""API keys: making, listing and revoking them, and the ring that authenticates callers.

A key is ``sk-<id>.<secret>``: the id is public and finds the entry, the secret is 256 random bits
and is stored only as HMAC-SHA256 under a salt of its own. A slow password hash would add nothing
against a secret of that size and would let anyone burn our CPU with wrong keys. Keys are only ever
generated here, so a placeholder such as ``changeme`` cannot become one.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from serve import timeline
from serve.errors import InvalidApiKey, StartupError
from serve.governance.key_file import (
    StoredKey,
    hash_secret,
    locked,
    read_keys,
    signature_of,
    write_keys,
)
from serve.governance.principal import Principal

logger = logging.getLogger(__name__)

MAX_HEADER_CHARS = 256
MAX_NAME_CHARS = 64
RELOAD_INTERVAL_S = 1.0

_CREDENTIALS = re.compile(r"(?i:bearer) +sk-([A-Za-z0-9_-]{12,32})\.([A-Za-z0-9_-]{43})")
_REJECTED = (
    "The API key is not valid. Send 'Authorization: Bearer sk-...' with a key of this server."
)


def create(path: Path, *, name: str = "", expires_at: datetime | None = None) -> str:
    """Add a key to the file, which is made where there is none, and return the key.

    It is shown this once: only its hash is kept. Safe for several processes at once.

    Args:
        name: whose it is; at most 64 printable characters.
        expires_at: with a time zone; None means never.

    Raises:
        StartupError: the name does not do, or the file cannot be used.
    """
    if len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise StartupError(f"A key's name has at most {MAX_NAME_CHARS} characters, all printable.")
    key_id, secret = secrets.token_urlsafe(9), secrets.token_urlsafe(32)
    salt = secrets.token_hex(16)
    stored = StoredKey(
        key_id=key_id,
        name=name,
        salt=salt,
        hash=hash_secret(salt, secret),
        created_at=datetime.now(UTC).replace(microsecond=0),
        expires_at=expires_at,
    )
    with locked(path):
        write_keys(path, (*(read_keys(path) if path.exists() else ()), stored))
    return f"sk-{key_id}.{secret}"


def list_keys(path: Path) -> tuple[StoredKey, ...]:
    """All entries, oldest first.

    Raises:
        StartupError: the file cannot be read, is not ours, or others may read it.
    """
    return read_keys(path)


def revoke(path: Path, key_id: str) -> None:
    """Disable a key for good. Running servers notice within a second. Idempotent.

    Raises:
        StartupError: no key has that id, or the file cannot be used.
    """
    with locked(path):
        keys = read_keys(path)
        if key_id not in {key.key_id for key in keys}:
            raise StartupError(f"No key has the id {key_id!r}: `keys list` shows those there are.")
        write_keys(path, tuple(replace(k, disabled=k.disabled or k.key_id == key_id) for k in keys))


def remove(path: Path, key: str) -> None:
    """Take a key out of the file that was made and could not be shown to anyone.

    Raises:
        StartupError: the file cannot be used.
    """
    key_id = key.removeprefix("sk-").partition(".")[0]
    with locked(path):
        write_keys(path, tuple(stored for stored in read_keys(path) if stored.key_id != key_id))


class KeyRing:
    """Authenticates callers against a key file, and follows its changes.

    A change is noticed by the first request after it, at most a second late. A new file that
    cannot be used is logged as an error and the keys known so far stay: locking every caller out
    because of a slip in an edit would be worse.

    Args:
        path: the key file; ``load`` is the usual way to a ring.
        clock: monotonic seconds; tests replace it.
        wall_clock: for expiry; tests replace it.

    Raises:
        StartupError: the file cannot be used.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = timeline.now,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._path = path
        self._clock = clock
        self._wall_clock = wall_clock
        self._signature = signature_of(path)
        self._keys = {key.key_id: key for key in read_keys(path)}
        self._checked_at = clock()
        self._is_in_force = True
        salt = secrets.token_hex(16)
        self._nobody = StoredKey(
            key_id="",
            name="",
            salt=salt,
            hash=hash_secret(salt, ""),
            created_at=wall_clock(),
            disabled=True,
        )

    @classmethod
    def load(cls, path: Path) -> KeyRing:
        """A ring over the file. Raises StartupError where it cannot be used."""
        return cls(path)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def is_in_force(self) -> bool:
        """Whether the keys are those of the file, at the last look at it."""
        return self._is_in_force

    def authenticate(self, header: str | None) -> Principal:
        """The caller that an Authorization header stands for.

        Raises:
            InvalidApiKey: no header, or anything but an enabled, unexpired key of ours. Which of
                the two parts was wrong is not told, also not by the time that the answer takes.
        """
        self._follow()
        if header is None:
            raise InvalidApiKey("No API key. Send the header 'Authorization: Bearer sk-...'.")
        match = _CREDENTIALS.fullmatch(header) if len(header) <= MAX_HEADER_CHARS else None
        if match is None:
            raise InvalidApiKey(_REJECTED)
        key_id, secret = match.groups()
        key = self._keys.get(key_id, self._nobody)  # an unknown id costs one comparison, too
        if not key.matches(secret):
            raise InvalidApiKey(_REJECTED)
        if key.disabled:
            raise InvalidApiKey("The API key has been revoked. Ask the operator for a new one.")
        if key.is_expired(self._wall_clock()):
            raise InvalidApiKey("The API key has expired. Ask the operator for a new one.")
        return Principal(key_id=key.key_id, name=key.name, tenant=key.key_id)

    def _follow(self) -> None:
        """Read the file again if it has changed since the last look."""
        if self._clock() - self._checked_at < RELOAD_INTERVAL_S:
            return
        self.reload(only_if_changed=True)

    def reload(self, *, only_if_changed: bool = False) -> None:
        """Read the file again. What cannot be read is logged, and the keys known stay in force."""
        self._checked_at = self._clock()
        try:
            signature = signature_of(self._path)
        except StartupError:
            signature = None
        if only_if_changed and signature == self._signature:
            return
        self._signature = signature
        try:
            self._keys = {key.key_id: key for key in read_keys(self._path)}
        except StartupError as error:
            self._is_in_force = False
            logger.error("API keys not reloaded, the ones known stay in force: %s", error)  # noqa: TRY400
        else:
            self._is_in_force = True
            logger.info("API keys reloaded: %d keys", len(self._keys))
