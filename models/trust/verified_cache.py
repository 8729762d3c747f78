"""Stamps of a model's files from when they were last hashed, so that `quick` need not hash again.

A stamp lies in ``<data_dir>/stamps``, outside the artifact, so that who can write a model's files
cannot write its stamp as well. It records size, modification time, change time and inode of each
file; the kernel sets the change time, and no call lets a program choose it. The idea of comparing
these first is that of git's index, and so is its remedy for a file that was written in the moment
in which it was hashed: such a file gets no stamp ("racy git", Documentation/technical of git).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from models import home, plain_file
from models.durable import write_whole

FORMAT = "intramural-stamp/1"
MAX_BYTES = 16 << 20
SETTLED_NS = 2_000_000_000
"""A file must have been left alone for so long before it was hashed. Coarser clocks are rare."""

Marks: TypeAlias = tuple[int, int, int, int]
"""Size in bytes, modification and change time in nanoseconds, inode."""


def marks_of(stat: os.stat_result) -> Marks:
    """The marks of a file that are compared."""
    return (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


def is_settled(marks: Marks, now_ns: int) -> bool:
    """Whether the file was last touched well before this moment."""
    return max(marks[1], marks[2]) < now_ns - SETTLED_NS


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """One artifact, as it was when its files agreed with its manifest.

    Attributes:
        folder: the artifact's, absolute, with links resolved.
        digest: of the manifest that the files agreed with.
        files: path to marks.
    """

    folder: Path
    digest: str
    files: Mapping[str, Marks]


class Stamps:
    """The stamps of a data directory. A stamp that is missing or damaged only costs time."""

    def __init__(self, data_dir: Path) -> None:
        self.root = home.expanded(data_dir) / "stamps"

    def read(self, folder: Path) -> Stamp | None:
        """The stamp of an artifact; None when there is none that can be used."""
        stamp = _read(self._path_of(folder))
        return stamp if stamp is not None and stamp.folder == folder.resolve() else None

    def write(self, stamp: Stamp) -> None:
        """Keep a stamp in place of an older one.

        Raises:
            OSError: it could not be written.
        """
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        document = {
            "format": FORMAT,
            "folder": str(stamp.folder),
            "digest": stamp.digest,
            "files": {path: list(marks) for path, marks in stamp.files.items()},
        }
        write_whole(self._path_of(stamp.folder), json.dumps(document).encode())

    def forget(self, folder: Path) -> None:
        """Remove the stamp of an artifact, if there is one."""
        self._path_of(folder).unlink(missing_ok=True)

    def of_absent(self) -> Iterator[Path]:
        """Files of stamps whose artifact is gone, and of stamps that cannot be used."""
        for path in sorted(self.root.glob("*")):
            if path.is_dir():  # none of ours
                continue
            stamp = _read(path)
            if stamp is None or not stamp.folder.is_dir():
                yield path

    def _path_of(self, folder: Path) -> Path:
        name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:32]
        return self.root / f"{name}.json"


def _read(path: Path) -> Stamp | None:
    try:
        document = json.loads(plain_file.read(path, MAX_BYTES, may_be_link=True))
    except (OSError, ValueError, RecursionError):
        return None
    match document:
        case {"format": "intramural-stamp/1", "folder": str(), "digest": str(), "files": dict()}:
            files = {
                name: (marks[0], marks[1], marks[2], marks[3])
                for name, marks in document["files"].items()
                if isinstance(marks, list) and [type(mark) for mark in marks] == [int] * 4
            }
            return Stamp(folder=Path(document["folder"]), digest=document["digest"], files=files)
    return None
