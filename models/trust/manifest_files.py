"""The files of an artifact: one entry of a manifest, what a path may look like, and the walk."""

from __future__ import annotations

import itertools
import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models import hub_cache, plain_file
from models.errors import ManifestError
from models.rules.bookkeeping import is_bookkeeping

MAX_PATH_BYTES = 1024
MAX_DEPTH = 32
MAX_ENTRIES = 20_000
"""Most files and folders that are walked; a model has at most 1,000."""
MAX_SIZE = 1 << 63
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file.

    Attributes:
        path: relative to the artifact, with ``/`` between its parts.
        size: bytes.
        sha256: 64 lower-case hexadecimal digits.
    """

    path: str
    size: int
    sha256: str

    def __post_init__(self) -> None:
        """Raises ManifestError: a part of it is not what the attributes say."""
        fault = path_fault(self.path)
        if fault:
            raise ManifestError(f"the path {self.path!r} {fault}")
        if type(self.size) is not int or not 0 <= self.size < MAX_SIZE:
            raise ManifestError(f"the size of {self.path!r} is {self.size!r}, no count of bytes")
        if not isinstance(self.sha256, str) or not is_sha256(self.sha256):
            raise ManifestError(f"the sha256 of {self.path!r} is not 64 lower-case hex digits")


def is_sha256(text: str) -> bool:
    """Whether the text is 64 lower-case hexadecimal digits."""
    return _HEX.fullmatch(text) is not None


def path_fault(path: str) -> str | None:
    """The reason why the text is not a plain relative path, or None.

    Line feeds and other control characters would let two lists of files have one digest.
    """
    try:
        num_bytes = len(path.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if not path or num_bytes > MAX_PATH_BYTES:
        return f"is empty or longer than {MAX_PATH_BYTES} bytes"
    if "\\" in path or any(unicodedata.category(letter) == "Cc" for letter in path):
        return "holds a backslash or a control character"
    if any(part in ("", ".", "..") for part in path.split("/")):
        return "is not relative and plain"
    return None


def plain_files(folder: Path) -> Iterator[tuple[str, int]]:
    """Path and size in bytes of every file, at any depth. Bookkeeping is left out.

    Raises:
        ManifestError: a link, a socket or the like, or a name that no manifest can hold.
        OSError: something cannot be read.
    """
    for path, entry in walk(folder):
        fault = path_fault(path)
        place = hub_cache.place_of(Path(entry.path))
        status = place.lstat()
        if fault is None and not stat.S_ISREG(status.st_mode):
            kind = plain_file.kind_of(place) or "something else"
            fault = "is a link" if entry.is_symlink() else f"is not a plain file but {kind}"
        if fault:
            raise ManifestError(f"{folder} cannot have a manifest: {path!r} {fault}.")
        yield path, status.st_size


def walk(folder: Path, prefix: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Walk over all that is no folder, by relative path. Follows no link and opens nothing.

    Raises:
        OSError: a folder cannot be read, or lies too deep, or there are too many files.
    """
    yield from _walk(folder, prefix, 0, itertools.count(1))


def _walk(
    folder: Path, prefix: str, depth: int, count: Iterator[int]
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    if depth > MAX_DEPTH:
        raise OSError(0, f"lies more than {MAX_DEPTH} folders deep", str(folder))
    with os.scandir(folder) as entries:
        ordered = sorted(itertools.islice(entries, MAX_ENTRIES + 1), key=lambda entry: entry.name)
    for entry in ordered:
        if is_bookkeeping(entry):
            continue
        if next(count) > MAX_ENTRIES:
            raise OSError(0, f"more than {MAX_ENTRIES:,} files and folders", str(folder))
        path = prefix + entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(folder / entry.name, path + "/", depth + 1, count)
        else:
            yield path, entry
