"""Contents of calls, read from beside the log: found by what an entry says of them, and opened.

An entry has a document's place, size and SHA-256; the document is sealed under its subject's key,
which the operator's unwraps. So who may read them is who holds that file.
"""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path
from typing import Any, Final

import orjson

from serve.errors import StartupError
from serve.governance.audit.content.content_keys import ContentKeys
from serve.governance.audit.content.sealing import digest, header_of, opened
from serve.governance.audit.content.subject_keys import KeyGoneError, SubjectKey, SubjectKeys
from serve.governance.audit.log import segments

FOLDER: Final = "content"
"""Folder in a log's own."""
KEYS, JOURNAL = "keys", "journal"
_KEPT_SEGMENTS: Final = 2


class ContentGoneError(Exception):
    """A document that cannot be read; the message says why, as a clause."""


class Contents:
    """The contents of one log.

    Args:
        log_folder: of the log.
        keys: the operator's, that unwrap.
    """

    def __init__(self, log_folder: Path, keys: ContentKeys) -> None:
        self._journal = log_folder / FOLDER / JOURNAL
        self._keys = SubjectKeys(log_folder / FOLDER / KEYS, keys)
        self._segments: dict[Path, tuple[int, list[bytes]]] = {}

    def document(self, note: dict[str, Any]) -> Any:
        """The document that an entry's note is of, as JSON has it.

        Raises:
            ContentGoneError: it was erased or pruned, or is not what the entry says.
        """
        at, expected = note.get("at"), note.get("sha256")
        if note.get("lost"):
            raise ContentGoneError("it could not be kept when it was made")
        if not isinstance(at, int) or not isinstance(expected, str):
            raise ContentGoneError("the entry has its hash alone")
        frame = self.frame(at)
        if digest(frame) != expected:
            raise ContentGoneError("what is kept there is not what the entry says")
        try:
            key = self._keys.find_by_name(str(header_of(frame).get("subject")))
            return orjson.loads(opened(key, frame))
        except (KeyGoneError, ValueError, OSError) as error:
            raise ContentGoneError(str(error)) from None

    def call_secret(self, frame: bytes) -> bytes:
        """The key of the call that a frame is of.

        Raises:
            ContentGoneError: its subject's key is not there.
        """
        try:
            header = header_of(frame)
            key = self._keys.find_by_name(str(header.get("subject")))
        except (KeyGoneError, ValueError, OSError) as error:
            raise ContentGoneError(str(error)) from None
        return key.call_secret(str(header.get("id")))

    def key_of(self, subject: str, key_id: str) -> SubjectKey:
        """The subject's key of that name.

        Raises:
            ContentGoneError: it is not there, or the subject has another one since.
        """
        try:
            key = self._keys.find(subject)
        except (KeyGoneError, OSError) as error:
            raise ContentGoneError(str(error)) from None
        if key.key_id != key_id:
            raise ContentGoneError("its subject's key was erased, and the one of now is another")
        return key

    def frame(self, at: int) -> bytes:
        """The sealed frame at an index.

        Raises:
            ContentGoneError: it is not there.
        """
        try:
            listed = segments.segments(self._journal)
            place = bisect_right([first for first, _ in listed], at) - 1
            if place < 0:
                raise ContentGoneError("it was pruned")
            path = listed[place][1]
            first, payloads = self._read(path)
            if at - first >= len(payloads):  # it is written meanwhile
                self._segments.pop(path)
                first, payloads = self._read(path)
            return payloads[at - first]
        except IndexError:
            raise ContentGoneError("it is not there") from None
        except (OSError, StartupError) as error:
            raise ContentGoneError(f"its file cannot be read: {error}") from None

    def _read(self, path: Path) -> tuple[int, list[bytes]]:
        found = self._segments.get(path)
        if found is None:
            scan, _ = segments.read_segment(path)
            found = self._segments[path] = (scan.first_index, list(scan.payloads))
            if len(self._segments) > _KEPT_SEGMENTS:
                del self._segments[next(iter(self._segments))]
        return found
