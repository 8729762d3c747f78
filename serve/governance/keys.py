"""API keys: a file of hashes, and the ring that authenticates against it.

A key is ``sk-<id>.<secret>``: the id is public and finds the entry, the secret is 256 random bits
and is stored only as HMAC-SHA256 under a salt of its own. A slow password hash would add nothing
against a secret of that size and would let anyone burn our CPU with wrong keys. Keys are only ever
generated here, so a placeholder such as ``changeme`` cannot become one.

The file is JSON, mode 0600, replaced atomically::

    {"version": 1, "keys": [{"id", "name", "salt", "hash", "created_at", "expires_at", "disabled"}]}
"""

from __future__ import annotations

import contextlib
import fcntl
import hmac
import json
import logging
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from serve import timeline
from serve.errors import InvalidApiKey, StartupError
from serve.governance.principal import Principal

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
MAX_HEADER_CHARS = 256
RELOAD_INTERVAL_S = 1.0

_CREDENTIALS = re.compile(r"[Bb]earer +sk-([A-Za-z0-9_-]{12,32})\.([A-Za-z0-9_-]{43})")
_REJECTED = "The API key is not valid. Send 'Authorization: Bearer sk-...' with a key of this server."


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """One entry of the file. ``salt`` and ``hash`` are hexadecimal; times are UTC."""

    id: str
    name: str
    salt: str
    hash: str
    created_at: datetime
    expires_at: datetime | None = None
    disabled: bool = False

    def matches(self, secret: str) -> bool:
        """Whether the secret is this key's; takes the same time whatever the answer."""
        return hmac.compare_digest(_hash(self.salt, secret), self.hash)


class KeyFile:
    """The file of keys, for the operator's commands. Safe for several processes at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self, name: str, *, expires_at: datetime | None = None) -> str:
        """Add a key and return it. It is shown this once: only its hash is kept.

        Raises:
            StartupError: the name is empty or longer than 64 characters, is taken, or the file
                cannot be used.
        """
        if not (name.strip() and name.isprintable() and len(name) <= 64):
            raise StartupError("A key's name is 1 to 64 printable characters: choose another.")
        key_id, secret, salt = secrets.token_urlsafe(9), secrets.token_urlsafe(32), secrets.token_hex(16)
        stored = StoredKey(
            id=key_id,
            name=name,
            salt=salt,
            hash=_hash(salt, secret),
            created_at=datetime.now(UTC).replace(microsecond=0),
            expires_at=expires_at,
        )
        with self._locked():
            keys = self.list() if self.path.exists() else ()
            if any(key.name == name and not key.disabled for key in keys):
                raise StartupError(f"A key named {name!r} exists: revoke it, or choose another name.")
            self._write((*keys, stored))
        return f"sk-{key_id}.{secret}"

    def list(self) -> tuple[StoredKey, ...]:
        """All entries, oldest first.

        Raises:
            StartupError: the file cannot be read, is not ours, or others may read it.
        """
        return _read(self.path)

    def revoke(self, id_or_name: str) -> StoredKey:
        """Disable a key, by its id or its name. Running servers notice within seconds.

        Raises:
            StartupError: no enabled key has that id or name, or the file cannot be used.
        """
        with self._locked():
            keys = self.list()
            for index, key in enumerate(keys):
                if id_or_name in {key.id, key.name} and not key.disabled:
                    revoked = replace(key, disabled=True)
                    self._write((*keys[:index], revoked, *keys[index + 1 :]))
                    return revoked
        raise StartupError(f"No enabled key has the id or name {id_or_name!r}.")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold off other writers. The lock is a file of its own, as ours is replaced on each write."""
        with _explained(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self.path.with_name(self.path.name + ".lock"), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _write(self, keys: tuple[StoredKey, ...]) -> None:
        """Replace the file: a reader sees the old one or the new one, also after a power cut."""
        entries = [asdict(key) for key in keys]
        text = json.dumps({"version": FORMAT_VERSION, "keys": entries}, indent=1, default=_iso)
        with _explained(self.path):
            descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=".keys-")  # mode 0600
            staged = Path(name)
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(text + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                staged.replace(self.path)
            finally:
                staged.unlink(missing_ok=True)
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


class KeyRing:
    """Authenticates callers against a key file, and follows its changes.

    A change is noticed by the first request after it, at most a second late. A new file that
    cannot be used is logged as an error and the keys known so far stay: locking every caller out
    because of a slip in an edit would be worse.

    Args:
        path: the key file.
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
        self._signature = _signature(path)
        self._keys = {key.id: key for key in _read(path)}
        self._checked_at = clock()
        salt = secrets.token_hex(16)
        self._nobody = StoredKey(
            id="", name="", salt=salt, hash=_hash(salt, ""), created_at=wall_clock(), disabled=True
        )

    def __len__(self) -> int:
        return len(self._keys)

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
        if key.expires_at is not None and self._wall_clock() >= key.expires_at:
            raise InvalidApiKey("The API key has expired. Ask the operator for a new one.")
        return Principal(key_id=key.id, name=key.name)

    def _follow(self) -> None:
        """Read the file again if it has changed since the last look."""
        if self._clock() - self._checked_at < RELOAD_INTERVAL_S:
            return
        self._checked_at = self._clock()
        try:
            signature = _signature(self._path)
        except StartupError:
            signature = None
        if signature == self._signature:
            return
        self._signature = signature
        try:
            self._keys = {key.id: key for key in _read(self._path)}
        except StartupError as error:
            logger.error("API keys not reloaded, the ones known stay in force: %s", error)  # noqa: TRY400
        else:
            logger.info("API keys reloaded: %d keys", len(self._keys))


def _hash(salt: str, secret: str) -> str:
    return hmac.digest(bytes.fromhex(salt), secret.encode(), "sha256").hex()


def _iso(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    raise TypeError(type(value).__name__)


def _signature(path: Path) -> tuple[int, ...] | None:
    """What changes when the file does: also a new mode, and a new file of the same size and time."""
    with _explained(path):
        found = path.stat()
        return (found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode)


def _read(path: Path) -> tuple[StoredKey, ...]:
    with _explained(path):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise StartupError(
                f"API key file {path} has mode {mode:04o}: group or others may use it. "
                f"Run: chmod 600 {path}"
            )
        text = path.read_text("utf-8")
    try:
        document = json.loads(text)
        if document["version"] != FORMAT_VERSION:
            raise ValueError(f"version {document['version']!r}, not {FORMAT_VERSION}")
        keys = tuple(_stored(entry) for entry in document["keys"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        _refuse(path, f"is not a key file of ours ({type(error).__name__}: {error})")
    if len({key.id for key in keys}) != len(keys):
        _refuse(path, "names a key id twice")
    return keys


def _stored(entry: Mapping[str, Any]) -> StoredKey:
    """One entry of the file, checked so far that authenticate() cannot stumble over it."""
    text = {name: entry[name] for name in ("id", "name", "salt", "hash")}
    if not all(isinstance(value, str) and value for value in text.values()):
        raise ValueError("id, name, salt and hash are non-empty strings")
    if len(bytes.fromhex(text["hash"])) != 32 or len(bytes.fromhex(text["salt"])) < 16:
        raise ValueError("a hash has 32 bytes and a salt at least 16")
    if not isinstance(entry["disabled"], bool):
        raise ValueError("disabled is true or false")  # noqa: TRY004: one error for all of the file
    expires_at = entry["expires_at"]
    return StoredKey(
        **text,
        created_at=_utc(entry["created_at"]),
        expires_at=None if expires_at is None else _utc(expires_at),
        disabled=entry["disabled"],
    )


def _utc(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time has no zone")
    return moment


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise StartupError(f"API key file {path} cannot be used: {reason}") from None


def _refuse(path: Path, why: str) -> NoReturn:
    raise StartupError(f"API key file {path} {why}.") from None
