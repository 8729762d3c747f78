"""Small files of a stranger's folder, read without waiting and without end.

A pipe, a socket or a device under the name of a file would block or never end, and a file that
grows while it is read would fill the memory: a file is opened without blocking and without
following a link (but one of Hugging Face's cache: models/hub_cache.py), must be a plain one, and at
most so many bytes of it are read.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from models import hub_cache

MAX_HOLE_BYTES = 1 << 30
"""Most bytes that a file may claim and not have. Weights are no zeros; a hole is no weights."""
_MAX_EXTENTS = 4096
_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class TooLargeError(OSError):
    """A file has more bytes than are read of its kind.

    Attributes:
        size: bytes; one more than the limit of a file that grew past it.
    """

    def __init__(self, path: Path, size: int, max_bytes: int) -> None:
        super().__init__(0, f"has {size:,} bytes; at most {max_bytes:,} are read", str(path))
        self.size = size


@contextmanager
def opened(
    path: Path, *, may_be_link: bool = False, may_be_pipe: bool = False
) -> Iterator[BinaryIO]:
    """The file, for reading.

    Args:
        path: of the file.
        may_be_link: for files of the operator, which a cluster mounts as links.
        may_be_pipe: a shell's ``<(command)`` will do. One without a writer is empty.

    Raises:
        OSError: it cannot be opened, is a link of no cache, or is no plain file; with the file's
            name.
    """
    if may_be_link:
        descriptor = _open(path, _FLAGS)
    else:
        descriptor = _open(hub_cache.place_of(path), _FLAGS | os.O_NOFOLLOW)
    try:
        mode = os.fstat(descriptor).st_mode
        if may_be_pipe and stat.S_ISFIFO(mode):
            os.set_blocking(descriptor, True)
        elif not stat.S_ISREG(mode):
            raise _not_plain(path, mode)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


def read(
    path: Path, max_bytes: int, *, may_be_link: bool = False, may_be_pipe: bool = False
) -> bytes:
    """The bytes of the file. Arguments as in `opened`.

    Raises:
        TooLargeError: it has more than ``max_bytes``.
        OSError: as in `opened`, or it cannot be read; with the file's name.
    """
    with opened(path, may_be_link=may_be_link, may_be_pipe=may_be_pipe) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            # Nothing at all: some files of the kernel's would have a reader wait.
            raw = b"" if size > max_bytes else file.read(max_bytes + 1) or b""
        except OSError as error:  # of a file that is open it does not have the name
            raise OSError(error.errno, error.strerror, str(path)) from None
    if max(size, len(raw)) > max_bytes:
        raise TooLargeError(path, max(size, len(raw)), max_bytes)
    return raw


def read_text(
    path: Path, max_bytes: int, *, may_be_link: bool = False, may_be_pipe: bool = False
) -> str:
    """The file as UTF-8, without the byte order mark that some editors put first.

    Raises:
        OSError: as in `read`, or it is not UTF-8.
    """
    return decoded(read(path, max_bytes, may_be_link=may_be_link, may_be_pipe=may_be_pipe), path)


def decoded(raw: bytes, path: Path) -> str:
    """The bytes of a file as `read_text` has them. Raises OSError: they are not UTF-8."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = f"line {raw[: error.start].count(10) + 1}"
        raise OSError(0, f"is not UTF-8 text ({place})", str(path)) from None


def kind_of(path: Path) -> str | None:
    """The kind of thing that a path leads to, such as "a pipe"; None of a file, and of nothing."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    return None if stat.S_ISREG(mode) else _kind(mode)


def absent(folder: Path, names: Iterable[str]) -> list[str]:
    """Those of the names that no file in the folder has; with what has one instead of a file."""
    kinds = {name: kind_of(folder / name) for name in names if not (folder / name).is_file()}
    return [name if kind is None else f"{name} ({kind} is there)" for name, kind in kinds.items()]


def _open(path: Path, flags: int) -> int:
    """The descriptor. The system's words for what cannot be opened so are those for other things.

    Raises:
        OSError: as in `opened`.
    """
    try:
        return os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP and flags & os.O_NOFOLLOW and path.is_symlink():
            raise OSError(0, "is a link, which could lead anywhere", str(path)) from None
        if error.errno == errno.ENXIO:  # no such device or address: so it is with sockets
            raise _not_plain(path, path.stat().st_mode) from None
        raise


def _not_plain(path: Path, mode: int) -> OSError:
    return OSError(0, f"is not a plain file but {_kind(mode)}", str(path))


def _kind(mode: int) -> str:
    return next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")


def hole_bytes(descriptor: int) -> int:
    """Bytes that an open file claims and that no disk holds (lseek(2), SEEK_DATA and SEEK_HOLE).

    Of a file in very many pieces the first are counted. 0 where the file system does not say.
    """
    size, holes, position = os.fstat(descriptor).st_size, 0, 0
    try:
        for _ in range(_MAX_EXTENTS):
            if position >= size:
                break
            try:
                data = os.lseek(descriptor, position, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:  # nothing but a hole up to the end
                    return 0
                data = size
            holes += data - position
            if data >= size:
                break
            position = os.lseek(descriptor, data, os.SEEK_HOLE)
    finally:
        os.lseek(descriptor, 0, os.SEEK_SET)
    return holes


def hole_fault(path: Path) -> str | None:
    """The fault of a file that is mostly a hole, as the end of a sentence; None without one.

    Raises:
        OSError: as in `opened`.
    """
    with opened(path) as file:
        holes = (
            0 if os.fstat(file.fileno()).st_size <= MAX_HOLE_BYTES else hole_bytes(file.fileno())
        )
    if holes <= MAX_HOLE_BYTES:
        return None
    return (
        f"claims {holes:,} bytes that are not on the disk (a sparse file); at most "
        f"{MAX_HOLE_BYTES:,} may be missing. Fetch or copy it anew"
    )
