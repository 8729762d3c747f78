"""The file of API keys: hashes, never keys. See serve/governance/identity/keys.py for its users.

The file is JSON, mode 0600 (or root's and 0440, as a Secret's volume is), replaced atomically::

    {"version": 2, "keys": [{"id", "name", "tenant", "owner", "scopes", ...}]}      (key_json.py)

A file of version 1 is read as it is, and is of version 2 after its first change.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from models import durable
from serve.errors import StartupError
from serve.governance.identity.key_entry import StoredKey, peppered
from serve.governance.identity.key_json import FORMAT_VERSION, READ_VERSIONS, entry_of, key_of
from serve.governance.identity.pepper import Pepper
from serve.governance.identity.private_file import explained, read_private

logger = logging.getLogger(__name__)

MAX_FILE_BYTES = 16 << 20
"""Some 20,000 keys."""
_LABEL = "API key file"
_MAKE_ONE = "Make it, and a first key, with `python -m serve keys create`."


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
        return (found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode, found.st_uid)


def read_keys(path: Path, pepper: Pepper | None = None) -> tuple[StoredKey, ...]:
    """All entries, oldest first, their hashes under the pepper.

    Raises:
        StartupError: the file cannot be read, is not ours, others may read it, or it was written
            with another pepper.
    """
    return peppered(read_entries(path), pepper)


def read_entries(path: Path) -> tuple[StoredKey, ...]:
    """All entries as they are stored: enough to see what there is, and not to let anybody in.

    Raises:
        StartupError: as read_keys, whatever the pepper.
    """
    text = read_private(path, _LABEL, MAX_FILE_BYTES, if_missing=_MAKE_ONE)
    if not text.strip():
        _refuse(
            path, "is empty. Move it away, and make a new one with `python -m serve keys create`"
        )
    try:
        document = json.loads(text)
        if not isinstance(document, dict) or not isinstance(document.get("keys", []), list):
            raise ValueError("it is an object with a list of keys")  # noqa: TRY004
        version = document["version"]
        if version not in READ_VERSIONS:
            raise ValueError(f"version {version!r}, not {FORMAT_VERSION}")
        keys = tuple(key_of(entry, version) for entry in document["keys"])
    except json.JSONDecodeError as error:
        _refuse(path, f"is not a key file of ours: it is no JSON ({error})")
    except KeyError as error:
        _refuse(path, f"is not a key file of ours: it lacks {error.args[0]!r}")
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        _refuse(path, f"is not a key file of ours ({type(error).__name__}: {error})")
    if len({key.key_id for key in keys}) != len(keys):
        _refuse(path, "names a key id twice")
    return keys


def write_keys(path: Path, keys: tuple[StoredKey, ...]) -> None:
    """Replace the file: a reader sees the old one or the new one, also after a power cut.

    A link stays one, and what it leads to is replaced: others may read that by its own name.

    Raises:
        StartupError: the file cannot be used, or would be one that nobody reads again.
    """
    document = {"version": FORMAT_VERSION, "keys": [entry_of(key) for key in keys]}
    text = json.dumps(document, indent=1) + "\n"
    if len(text) > MAX_FILE_BYTES:  # it is ASCII
        _refuse(
            path,
            f"would have {len(text):,} bytes with this change, and at most {MAX_FILE_BYTES:,} are "
            "read: nothing was changed. Keep so many keys in the database (--api-keys database)",
        )
    with _explained(path):
        path = Path(os.path.realpath(path, strict=path.is_symlink()))
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=_staged(path))  # mode 0600
        staged = Path(name)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
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


def _explained(path: Path) -> contextlib.AbstractContextManager[None]:
    return explained(path, _LABEL, _MAKE_ONE)


def _refuse(path: Path, why: str) -> NoReturn:
    raise StartupError(f"{_LABEL} {path} {why}.") from None
