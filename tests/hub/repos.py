"""What the emulated hub holds: repositories, their branches and commits, and planned faults."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

LFS_SUFFIXES = (".safetensors", ".bin", ".pt", ".model", ".gguf")


@dataclass(frozen=True, slots=True)
class Blob:
    """One file of one commit, with the identities that git and Git LFS give it.

    Attributes:
        sha256: of the content.
        git_id: the blob id: of the pointer for LFS files, as on the Hub.
        pointer_size: bytes of the pointer.
    """

    content: bytes
    is_lfs: bool
    sha256: str
    git_id: str
    pointer_size: int

    @classmethod
    def of(cls, content: bytes, *, is_lfs: bool) -> Self:
        sha256 = hashlib.sha256(content).hexdigest()
        version, size = "version https://git-lfs.github.com/spec/v1", len(content)
        pointer = f"{version}\noid sha256:{sha256}\nsize {size}\n".encode()
        stored = pointer if is_lfs else content
        git_id = hashlib.sha1(b"blob %d\0" % len(stored) + stored).hexdigest()
        return cls(content, is_lfs, sha256, git_id, len(pointer))

    @property
    def etag(self) -> str:
        return self.sha256 if self.is_lfs else self.git_id


@dataclass(slots=True)
class Repo:
    """A model repository. ``gated``: files need a token that was let in."""

    name: str
    gated: bool = False
    card: dict[str, str] = field(default_factory=lambda: {"license": "apache-2.0"})
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, Blob]] = field(default_factory=dict)

    def push(self, files: Mapping[str, bytes], branch: str = "main") -> str:
        """A commit of exactly these files becomes the branch's head. Returns its id."""
        blobs = {
            path: Blob.of(content, is_lfs=path.endswith(LFS_SUFFIXES))
            for path, content in sorted(files.items())
        }
        listing = "\n".join(f"{path} {blob.etag}" for path, blob in blobs.items())
        commit = hashlib.sha1(f"{self.name}\n{listing}".encode()).hexdigest()
        self.commits[commit] = blobs
        self.branches[branch] = commit
        return commit

    def resolve(self, revision: str) -> str | None:
        """The commit that a branch or a commit id names."""
        commit = self.branches.get(revision, revision)
        return commit if commit in self.commits else None


@dataclass(slots=True)
class Fault:
    """What goes wrong with the next ``times`` requests whose path ends with ``path``.

    Attributes:
        status: answer with this status instead.
        retry_after: the Retry-After header of that answer.
        headers, body: of that answer.
        cut_after: send so many bytes of the body, then drop the connection.
        flip_at: flip one bit of this byte of the file.
        ignore_range: send the whole file for a request of a part.
        bytes_per_s: no faster than this.
    """

    path: str
    times: int = 1
    status: int | None = None
    retry_after: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b"fault"
    cut_after: int | None = None
    flip_at: int | None = None
    ignore_range: bool = False
    bytes_per_s: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """One request, as it came."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    is_cdn: bool

    @property
    def range(self) -> str | None:
        return self.headers.get("range")


def read_folder(folder: Path) -> dict[str, bytes]:
    """All files under a folder, by relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
