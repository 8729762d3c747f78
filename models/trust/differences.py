"""Differences between an artifact on the disk and its manifest, file by file."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from models import hub_cache
from models.trust.manifest import NEVER_LISTED, Manifest
from models.trust.manifest_files import walk
from models.trust.verified_cache import Marks, Stamp, marks_of


class Kind(StrEnum):
    """The kind of a difference, as far as names and bytes tell."""

    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"
    RENAMED = "renamed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One file that is not as the manifest says.

    Attributes:
        path: as the manifest has it; of an added file, as it is.
        new_path: of a renamed file.
    """

    kind: Kind
    path: str
    detail: str
    new_path: str | None = None

    def __str__(self) -> str:
        return f"{self.path!r} was {self.kind}: {self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDisk:
    """The contents of an artifact's folder, by path.

    Attributes:
        plain: files.
        strange: links, sockets and the like.
    """

    plain: Mapping[str, os.stat_result]
    strange: frozenset[str]


def on_disk(folder: Path) -> OnDisk:
    """Look at names and records; opens no file, and follows no link but a cache's.

    Raises:
        OSError: something cannot be looked at.
    """
    plain: dict[str, os.stat_result] = {}
    strange: set[str] = set()
    for path, entry in walk(folder):
        if path in NEVER_LISTED:
            continue
        status = hub_cache.place_of(Path(entry.path)).lstat()
        if stat.S_ISREG(status.st_mode):
            plain[path] = status
        else:
            strange.add(path)
    return OnDisk(plain=plain, strange=frozenset(strange))


class Comparison:
    """A manifest beside what is on the disk.

    Attributes:
        here: the plain files that are there.
        trusted: marks of listed files that are as a stamp recorded them; not hashed again.
        to_hash: files of which the bytes decide: listed ones, and those that may be a listed one
            under a new name.
    """

    def __init__(self, manifest: Manifest, disk: OnDisk, stamp: Stamp | None = None) -> None:
        self.here = disk.plain
        self._strange = disk.strange
        self._entries = {file.path: file for file in manifest.files}
        known: Mapping[str, Marks] = {}
        if stamp is not None and stamp.digest == manifest.digest:
            known = stamp.files
        listed = [path for path in self._entries if path in self.here]
        self._resized = [p for p in listed if self.here[p].st_size != self._entries[p].size]
        self.trusted = {
            path: known[path] for path in listed if known.get(path) == marks_of(self.here[path])
        }
        is_decided = {*self._resized, *self.trusted}
        self._added = [path for path in self.here if path not in self._entries]
        there = self.here.keys() | self._strange
        self._removed = [path for path in self._entries if path not in there]
        sizes = {self._entries[path].size for path in self._removed}
        self.to_hash = [path for path in listed if path not in is_decided] + [
            path for path in self._added if self.here[path].st_size in sizes
        ]

    def agrees(self, path: str, sha256: str) -> bool:
        """Whether the manifest lists the file with this hash."""
        return path in self._entries and self._entries[path].sha256 == sha256

    def differences(self, hashes: Mapping[str, str]) -> list[Difference]:
        """Every difference, in the order of paths.

        Args:
            hashes: SHA-256 of each file in ``to_hash``.
        """
        differing = [self._not_plain(path) for path in self._strange]
        differing += [self._other_size(path) for path in self._resized]
        differing += [
            self._other_bytes(path, sha256)
            for path, sha256 in hashes.items()
            if path in self._entries and not self.agrees(path, sha256)
        ]
        new_names = {sha256: path for path, sha256 in hashes.items() if path not in self._entries}
        renamed = set()
        for path in self._removed:
            new = new_names.pop(self._entries[path].sha256, None)
            renamed.add(new)
            differing.append(_absent(path, new))
        differing += [
            Difference(kind=Kind.ADDED, path=path, detail="the manifest does not list it")
            for path in self._added
            if path not in renamed
        ]
        return sorted(differing, key=lambda difference: difference.path)

    def _not_plain(self, path: str) -> Difference:
        kind = Kind.CHANGED if path in self._entries else Kind.ADDED
        return Difference(kind=kind, path=path, detail="it is a link, or no plain file")

    def _other_size(self, path: str) -> Difference:
        size, listed = self.here[path].st_size, self._entries[path].size
        detail = f"it has {size:,} bytes, the manifest says {listed:,}"
        return Difference(kind=Kind.CHANGED, path=path, detail=detail)

    def _other_bytes(self, path: str, sha256: str) -> Difference:
        detail = f"its SHA-256 is {sha256}, the manifest says {self._entries[path].sha256}"
        return Difference(kind=Kind.CHANGED, path=path, detail=detail)


def _absent(path: str, new: str | None) -> Difference:
    if new is None:
        return Difference(kind=Kind.REMOVED, path=path, detail="it is not there")
    return Difference(kind=Kind.RENAMED, path=path, detail=f"it is now {new!r}", new_path=new)
