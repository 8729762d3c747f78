"""The file of API keys: hashes, never keys. See serve/governance/keys.py for its users.

The file is JSON, mode 0600 (or root's and 0440, as a Secret's volume is), replaced atomically::

    {"version": 1, "keys": [{"id", "name", "salt", "hash", "created_at", "expires_at", "disabled"}]}
"""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NoReturn

from models import durable, plain_file
from serve.errors import StartupError

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
MAX_FILE_BYTES = 16 << 20
"""Some 50,000 keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """One entry of the file. ``salt`` and ``hash`` are hexadecimal; times are UTC."""

    key_id: str
    name: str
    salt: str
    hash: str
    created_at: datetime
    expires_at: datetime | None = None
    disabled: bool = False

    def matches(self, secret: str) -> bool:
        """Whether the secret is this key's; takes the same time whatever the answer."""
        return hmac.compare_digest(hash_secret(self.salt, secret), self.hash)

    def is_expired(self, now: datetime) -> bool:
        return self.expires_at is not None and now >= self.expires_at

    @property
    def state(self) -> Literal["enabled", "revoked", "expired"]:
        if self.disabled:
            return "revoked"
        return "expired" if self.is_expired(datetime.now(UTC)) else "enabled"

    def as_json(self) -> dict[str, str | None]:
        """The part that an operator may see: neither salt nor hash."""
        return {
            "id": self.key_id,
            "name": self.name,
            "created_at": self.created_at.isoformat(),
            "expires_at": self.expires_at.isoformat() if self.expires_at else None,
            "state": self.state,
        }


def hash_secret(salt: str, secret: str) -> str:
    return hmac.digest(bytes.fromhex(salt), secret.encode(), "sha256").hex()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold off other writers. The lock is a file of its own, as ours is replaced on each write."""
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        durable.lock(lock)
        yield
    finally:
        os.close(lock)


def signature_of(path: Path) -> tuple[int, ...] | None:
    """A value that changes when the file does, also where its size and time stay the same."""
    with _explained(path):
        found = path.stat()
        return (found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode)


def read_keys(path: Path) -> tuple[StoredKey, ...]:
    with _explained(path):
        # Before its mode: who is told to chmod a link to a device would chmod the device.
        text = plain_file.read_text(path, MAX_FILE_BYTES, may_be_link=True)
        found = path.stat()
        mode = stat.S_IMODE(found.st_mode)
        if mode & _too_much(found, os.geteuid()):
            raise StartupError(
                f"API key file {path} has mode {mode:04o}: group or others may use it. "
                f"Run: chmod 600 {path} (on a file system that keeps no modes, such as vfat, "
                "CIFS or WSL's drives, that changes nothing: keep the file on another)."
            )
        _refuse_links_out(path)
    if not text.strip():
        _refuse(
            path, "is empty. Move it away, and make a new one with `python -m serve keys create`"
        )
    try:
        document = json.loads(text)
        if not isinstance(document, dict) or not isinstance(document.get("keys", []), list):
            raise ValueError("it is an object with a list of keys")  # noqa: TRY004
        if document["version"] != FORMAT_VERSION:
            raise ValueError(f"version {document['version']!r}, not {FORMAT_VERSION}")
        keys = tuple(_stored(entry) for entry in document["keys"])
    except json.JSONDecodeError as error:
        _refuse(path, f"is not a key file of ours: it is no JSON ({error})")
    except KeyError as error:
        _refuse(path, f"is not a key file of ours: it lacks {error.args[0]!r}")
    except (ValueError, TypeError, RecursionError) as error:
        _refuse(path, f"is not a key file of ours ({type(error).__name__}: {error})")
    if len({key.key_id for key in keys}) != len(keys):
        _refuse(path, "names a key id twice")
    return keys


def _refuse_links_out(path: Path) -> None:
    """Refuse a link to another folder, whose owner could put other keys there.

    A Secret's volume has links, and all of them lie within it.
    """
    if not path.resolve().is_relative_to(path.parent.resolve()):
        raise StartupError(
            f"API key file {path} is a link out of its folder. Name the file itself."
        )


def _too_much(found: os.stat_result, user: int) -> int:
    """The mode bits that no key file may have.

    A file in a volume of Kubernetes belongs to root, and a process that is not root can read it by
    its group alone (``fsGroup``): then reading is what the group is for.
    """
    is_volume = found.st_uid == 0 and user != 0
    return 0o037 if is_volume else 0o077


def _stored(entry: Mapping[str, Any]) -> StoredKey:
    """One entry of the file, checked so far that authenticate() cannot stumble over it."""
    if not all(isinstance(entry[name], str) for name in ("id", "name", "salt", "hash")):
        raise ValueError("id, name, salt and hash are strings")
    if len(bytes.fromhex(entry["hash"])) != 32 or len(bytes.fromhex(entry["salt"])) < 16:
        raise ValueError("a hash has 32 bytes and a salt at least 16")
    if not isinstance(entry["disabled"], bool):
        raise ValueError("disabled is true or false")  # noqa: TRY004
    expires_at = entry["expires_at"]
    return StoredKey(
        key_id=entry["id"],
        name=entry["name"],
        salt=entry["salt"],
        hash=entry["hash"].lower(),
        created_at=_utc(entry["created_at"]),
        expires_at=None if expires_at is None else _utc(expires_at),
        disabled=entry["disabled"],
    )


def _utc(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time has no zone")
    return moment


def write_keys(path: Path, keys: tuple[StoredKey, ...]) -> None:
    """Replace the file: a reader sees the old one or the new one, also after a power cut.

    A link stays one, and what it leads to is replaced: others may read that by its own name.
    """
    document = {"version": FORMAT_VERSION, "keys": [_entry(key) for key in keys]}
    with _explained(path):
        path = Path(os.path.realpath(path, strict=path.is_symlink()))
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=_staged(path))  # mode 0600
        staged = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(json.dumps(document, indent=1) + "\n")
                file.flush()
                durable.sync(file.fileno())
            staged.replace(path)
        finally:
            staged.unlink(missing_ok=True)
        for left in path.parent.glob(f"{_staged(path)}*"):  # of writers that were killed
            left.unlink(missing_ok=True)
        try:
            durable.sync_folder(path.parent)
        except OSError as error:  # it is in place: a key that was stored must be shown
            logger.warning("%s may not outlast a power cut: %s", path, error.strerror)


def _staged(path: Path) -> str:
    """The beginning of the names of files that a writer, who holds the lock, makes."""
    return f".{path.name}-"


def _entry(key: StoredKey) -> dict[str, Any]:
    return {
        "id": key.key_id,
        "name": key.name,
        "salt": key.salt,
        "hash": key.hash,
        "created_at": key.created_at.isoformat(),
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        "disabled": key.disabled,
    }


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise StartupError(
            f"API key file {path} is not there. Make it, and a first key, with "
            "`python -m serve keys create`."
        ) from None
    except OSError as error:
        reason = error.strerror or str(error)
        if reason.startswith(("is ", "has ")):
            reason = f"it {reason}"
        raise StartupError(f"API key file {path} cannot be used: {reason}") from None


def _refuse(path: Path, why: str) -> NoReturn:
    raise StartupError(f"API key file {path} {why}.") from None
