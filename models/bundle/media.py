"""The media that hold a bundle: folders that were named, and that come and go."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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
        """Every file with a part's name, in the order of the folders."""
        return [folder / name for folder in self.folders if (folder / name).is_file()]


def read_index(path: Path) -> RawIndex:
    """An index and its signature.

    Raises:
        BundleError: it cannot be read, or is too large to be one.
    """
    seal = path.with_name(path.name.removesuffix(INDEX_SUFFIX) + SEAL_SUFFIX)
    try:
        raw = _bytes(path, MAX_BYTES)
        signature = _bytes(seal, MAX_SEAL_BYTES) if seal.is_file() else None
    except OSError as error:
        raise BundleError(
            f"{error.filename or path} cannot be read: {error.strerror or error}"
        ) from None
    return RawIndex(where=str(path), raw=raw, signature=signature)


class MediumError(Exception):
    """A medium failed while it was read; not an OSError, which would be this machine's disk."""


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
    with _opened(path) as descriptor, os.fdopen(os.dup(descriptor), "rb") as file:
        raw = file.read(most + 1)
    if len(raw) > most:
        raise BundleError(f"{path} has more than {most:,} bytes, so it is not what its name says.")
    return raw


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """The file, read only; a pipe or a device is refused, and none is waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "is not a plain file", str(path))
        yield descriptor
    finally:
        os.close(descriptor)


def _read_part(path: Path, size: int) -> Iterator[bytes]:
    """The bytes of a part, and not one more than it should have.

    Raises:
        OSError: it cannot be read, or is no plain file.
    """
    with _opened(path) as descriptor:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while size > 0 and (chunk := os.read(descriptor, min(CHUNK_BYTES, size))):
            size -= len(chunk)
            yield chunk
