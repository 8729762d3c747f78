"""The media that hold a bundle: folders that were named, and that come and go."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from models import plain_file
from models.bundle.index import INDEX_SUFFIX, MAX_BYTES, SEAL_SUFFIX
from models.bundle.seal import MAX_BYTES as MAX_SEAL_BYTES
from models.bundle.stream import CHUNK_BYTES
from models.errors import BundleError
from models.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class RawIndex:
    """The bytes of an index, of which nothing has been checked yet.

    Attributes:
        where: what messages call it.
        raw: its bytes.
        signature: over them; None where there is none.
    """

    where: str
    raw: bytes
    signature: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """The folders to look in, in the order given, and the index if one of them has it."""

    folders: tuple[Path, ...]
    index: RawIndex | None

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Media:
        """The media of these paths: folders, an index, or parts, which stand for their folders.

        Raises:
            BundleError: one is not there or cannot be read, or there is more than one index.
        """
        folders = tuple(dict.fromkeys(_folder(path) for path in paths))
        named = [path for path in paths if path.name.endswith(INDEX_SUFFIX) and path.is_file()]
        paths_of_indexes = named or [path for folder in folders for path in _indexes(folder)]
        indexes = {
            (index.raw, index.signature): index for index in map(read_index, paths_of_indexes)
        }
        if len({raw for raw, _ in indexes}) > 1:
            raise BundleError(
                f"there is more than one bundle: {', '.join(map(str, paths_of_indexes))}. "
                "Name the index of the one that is meant."
            )
        # Copies on several media; one of them may have lost its signature.
        index = max(indexes.values(), key=lambda one: one.signature is not None, default=None)
        return cls(folders=folders, index=index)

    def copies(self, name: str) -> list[Path]:
        """All that has a part's name, in the order of the folders."""
        return [folder / name for folder in self.folders if os.path.lexists(folder / name)]


def read_index(path: Path) -> RawIndex:
    """An index and its signature.

    Raises:
        BundleError: it cannot be read, or is too large to be one.
    """
    seal = path.with_name(path.name.removesuffix(INDEX_SUFFIX) + SEAL_SUFFIX)
    try:
        raw = _bytes(path, MAX_BYTES)
        signature = _bytes(seal, MAX_SEAL_BYTES) if os.path.lexists(seal) else None
    except OSError as error:
        raise BundleError(
            f"{error.filename or path} cannot be read: {error.strerror or error}"
        ) from None
    return RawIndex(where=str(path), raw=raw, signature=signature)


class MediumError(Exception):
    """A medium failed while it was read; not an OSError, which would be this machine's disk."""


def size_of(path: Path) -> int:
    """Bytes of a copy of a part. Raises MediumError: it is no file, or cannot be looked at."""
    if (kind := plain_file.kind_of(path)) is not None:
        raise MediumError(f"is not a plain file but {kind}")
    try:
        return path.stat().st_size
    except OSError as error:
        raise MediumError(error.strerror or str(error)) from None


@dataclass(slots=True)
class Reading:
    """The bytes of one copy of a part, counted."""

    path: Path
    size: int
    progress: Progress
    num_bytes: int = 0

    def __iter__(self) -> Iterator[bytes]:
        """Raises MediumError: it cannot be read."""
        try:
            for chunk in _read_part(self.path, self.size):
                self.num_bytes += len(chunk)
                self.progress.advance(len(chunk))
                yield chunk
        except OSError as error:
            raise MediumError(error.strerror or str(error)) from None


def _folder(path: Path) -> Path:
    if path.is_dir():
        return path
    if path.is_file():
        return path.parent
    if (kind := plain_file.kind_of(path)) is not None:
        raise BundleError(f"{path} is {kind}. Name folders, an index or parts.")
    raise BundleError(
        f"{path} is neither a folder nor a file that is there. Is the medium mounted?"
    )


def _indexes(folder: Path) -> list[Path]:
    try:
        return sorted(
            path for path in folder.glob(f"*{INDEX_SUFFIX}") if not path.name.startswith(".")
        )
    except OSError as error:
        raise BundleError(f"{folder} cannot be read: {error.strerror or error}") from None


def _bytes(path: Path, most: int) -> bytes:
    return plain_file.read(path, most, may_be_link=True)


def _read_part(path: Path, size: int) -> Iterator[bytes]:
    """The bytes of a part, and not one more than it should have.

    Raises:
        OSError: it cannot be read, or is no plain file.
    """
    with plain_file.opened(path, may_be_link=True) as file:
        descriptor = file.fileno()
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while size > 0 and (chunk := os.read(descriptor, min(CHUNK_BYTES, size))):
            size -= len(chunk)
            yield chunk
