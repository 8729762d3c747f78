"""Subjects' keys: one for each subject of a log, in a file that is destroyed to erase the subject.

A subject is whose contents they are: ``TENANT/OWNER``, or ``key:ID`` where nobody is named. The
file holds the subject's name and its key, wrapped by the operator's. Without it the contents are
noise, and their hashes in the log mean nothing; the log itself stays whole.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import os
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from models import durable, plain_file
from serve.errors import StartupError
from serve.governance.audit.content.content_keys import KEY_BYTES, ContentKeys
from serve.governance.audit.content.keys_lock import keys_lock

log = logging.getLogger(__name__)

SUFFIX: Final = ".json"
MAX_KNOWN: Final = 4096
_MAX_FILE_BYTES: Final = 8192


class KeyGoneError(Exception):
    """A subject's key is not there, or cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """The key of one subject, until it is erased; a later one of the same subject is another.

    Attributes:
        key_id: public, random; 16 hexadecimal digits.
    """

    subject: str
    key_id: str
    _secret: bytes = field(repr=False)

    def mac(self, content: bytes) -> str:
        """A hash of content that means nothing without this key; hexadecimal digits."""
        key = hmac.digest(self._secret, b"intramural audit 1: hash", "sha256")
        return hmac.digest(key, content, "sha256").hex()

    def call_secret(self, request_id: str) -> bytes:
        """The key of one request's contents, which tells nothing of others: 32 bytes."""
        label = b"intramural audit 1: content of " + request_id.encode()
        return hmac.digest(self._secret, label, "sha256")


def name_of(subject: str) -> str:
    """The name by which a subject's file is found: 32 hexadecimal digits."""
    return hashlib.sha256(subject.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class SubjectKeys:
    """The keys of a log's subjects. Its methods block.

    Args:
        folder: of their files; made where it is not there.
        keys: the operator's.
    """

    def __init__(self, folder: Path, keys: ContentKeys) -> None:
        self._folder = folder
        self._keys = keys
        self._making = threading.Lock()  # two keys for one subject, and one of them would be lost
        self._known: OrderedDict[str, tuple[tuple[int, int], SubjectKey]] = OrderedDict()

    def known(self, subject: str) -> SubjectKey | None:
        """The key, if it is known and its file still there: one call of stat, no more."""
        entry = self._known.get(subject)
        if entry is None or entry[0] != _signature(self._path(subject)):
            return None
        self._known.move_to_end(subject)
        return entry[1]

    def of(self, subject: str) -> SubjectKey:
        """The key of a subject; one is made where there is none.

        Raises:
            OSError: it cannot be read or made.
            KeyGoneError: there is one that cannot be used.
        """
        with self._making:
            return self.known(subject) or self._of(subject)

    def _of(self, subject: str) -> SubjectKey:
        path = self._path(subject)
        if _is_gone(path):
            self._make(path, subject)
        try:
            key = self._read(path)
        except (FileNotFoundError, KeyGoneError):
            if not _is_gone(path):
                raise
            self._make(path, subject)  # erased just now
            key = self._read(path)
        if key.subject != subject:
            raise KeyGoneError(f"{path.name} is of another subject")
        self._known[subject] = (_signature(path) or (0, 0), key)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return key

    def _make(self, path: Path, subject: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with keys_lock(self._folder):
            if _is_gone(path):
                made = SubjectKey(subject, secrets.token_hex(8), secrets.token_bytes(KEY_BYTES))
                _write(path, made, made._secret, self._keys)  # noqa: SLF001 - its own module

    def find(self, subject: str) -> SubjectKey:
        """The key of a subject that has one.

        Raises:
            KeyGoneError: there is none, or it cannot be used.
            OSError: it cannot be read.
        """
        return self.find_by_name(name_of(subject))

    def find_by_name(self, name: str) -> SubjectKey:
        """The key of the subject of that name (``name_of``). Raises as ``find``."""
        path = self._folder / f"{name}{SUFFIX}"
        if _is_gone(path):
            raise KeyGoneError("its key is not there: it was erased, or never was")
        return self._read(path)

    def subjects(self) -> Iterator[str]:
        """Every subject that has a key, also one that cannot be used here.

        Raises:
            OSError: a file cannot be read.
        """
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            subject = _document(path).get("subject")
            if isinstance(subject, str):
                yield subject

    def all(self) -> Iterator[SubjectKey]:
        """Every key that can be used.

        Raises:
            OSError: one cannot be read.
        """
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            try:
                yield self._read(path)
            except KeyGoneError as error:
                log.warning("a subject's key cannot be used", extra={"reason": str(error)})

    def destroy(self, subject: str) -> bool:
        """Destroy a subject's key. Whether there was one.

        What a disk keeps of removed files is its own affair: the file's blocks are overwritten
        first, and what was wrapped is of no use without the operator's key.

        Raises:
            TimeoutError: another process changes keys for too long.
            OSError: it is not destroyed.
        """
        path = self._path(subject)
        self._known.pop(subject, None)
        if not self._folder.is_dir():
            return False
        with keys_lock(self._folder):
            _shred(durable.new_name(path))  # of a write that was cut short: the same key
            was_there = _shred(path)
            durable.sync_folder(self._folder)
        return was_there

    def rewrap(self) -> int:
        """Wrap all keys by the operator's current one. How many were wrapped by another.

        Raises:
            StartupError: one was wrapped by a key that is not in the operator's file any more.
            OSError: one cannot be read or written.
        """
        num = 0
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            with keys_lock(self._folder):  # for each: an erasure need not wait for all
                num += self._rewrap(path)
        return num

    def _rewrap(self, path: Path) -> bool:
        """Wrap one key anew. Whether that was necessary. Raises as ``rewrap``."""
        if _is_gone(path):  # erased meanwhile, or by an erasure that was cut short
            path.unlink(missing_ok=True)
            return False
        wrapped_by = str(_document(path).get("wrapped_by"))
        if wrapped_by == self._keys.current.key_id:
            return False
        try:
            key = self._read(path)
        except KeyGoneError as error:
            raise StartupError(
                f"The content key file lacks the key {wrapped_by}, under which subjects' keys "
                f"in {self._folder} were kept ({error}). Add it below the new one."
            ) from None
        _write(path, key, key._secret, self._keys)  # noqa: SLF001 - its own module
        return True

    def _path(self, subject: str) -> Path:
        return self._folder / f"{name_of(subject)}{SUFFIX}"

    def _read(self, path: Path) -> SubjectKey:
        document = _document(path)
        wrapping = self._keys.find(str(document.get("wrapped_by")))
        if wrapping is None:
            raise KeyGoneError(f"{path.name} was wrapped by a key that is not in the key file")
        try:
            secret = wrapping.unwrapped(base64.b64decode(str(document.get("wrapped"))))
        except ValueError as error:
            raise KeyGoneError(f"{path.name}: {error}") from None
        return SubjectKey(str(document.get("subject")), str(document.get("key")), secret)


def _write(path: Path, key: SubjectKey, secret: bytes, keys: ContentKeys) -> None:
    document = {
        "v": 1,
        "subject": key.subject,
        "key": key.key_id,
        "wrapped_by": keys.current.key_id,
        "wrapped": base64.b64encode(keys.current.wrapped(secret)).decode(),
    }
    durable.write_whole(path, json.dumps(document).encode(), mode=0o600)


def _shred(path: Path) -> bool:
    """Overwrite a file and remove it. Whether it was there. Raises OSError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        os.pwrite(descriptor, bytes(os.fstat(descriptor).st_size), 0)
        durable.sync(descriptor)
    finally:
        os.close(descriptor)
    path.unlink()
    return True


def _document(path: Path) -> dict[str, object]:
    try:
        document = json.loads(plain_file.read(path, _MAX_FILE_BYTES))
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _is_gone(path: Path) -> bool:
    """Whether there is no key: no file, or one that an erasure has overwritten and not removed.

    Raises:
        OSError: it cannot be read.
    """
    try:
        return plain_file.read(path, _MAX_FILE_BYTES)[:1] == b"\0"
    except FileNotFoundError:
        return True


def _signature(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
