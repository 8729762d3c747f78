"""Small files that are there whole or not at all, and still there after a power cut.

Not every file system offers what that takes: CIFS, FUSE, drvfs, some NFS. What is not offered is
passed over, for the write itself was fine; what failed (a full or broken disk) is an error.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

_NOT_OFFERED = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
"""A file system's words for a call that it does not have (fsync(2), posix_fallocate(3))."""
_NO_LOCKS = _NOT_OFFERED | {errno.ENOLCK, errno.EBADF}
"""The same for locks; EBADF: NFS locks for writing only what is open for writing (flock(2))."""
_UNREADABLE = frozenset({errno.EACCES, errno.EPERM})


def write_whole(path: Path, data: bytes, *, mode: int | None = None) -> None:
    """Write by rename, with the file and then its folder on the disk when this returns.

    A crash can leave ``.NAME.new`` beside it, which the next write replaces.

    Args:
        path: of the file.
        data: all of its content.
        mode: of the file, whatever the umask says; as the umask says where there is none.

    Raises:
        OSError: it could not be written; an older file is as it was.
    """
    new = new_name(path)
    new.unlink(missing_ok=True)
    try:
        with new.open("xb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            sync(file.fileno())
        put_in_place(new, path)
    finally:
        new.unlink(missing_ok=True)


def new_name(path: Path) -> Path:
    """The path that a file's content is written to before it is put in place."""
    return path.with_name(f".{path.name}.new")


def put_in_place(new: Path, path: Path) -> None:
    """Rename, and put the folder's new entry on the disk.

    Raises:
        OSError: it could not be done.
    """
    new.replace(path)
    sync_folder(path.parent)


def sync(descriptor: int) -> None:
    """Bring what was written to the disk, where the file system can.

    Raises:
        OSError: the disk is full, or failed.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NOT_OFFERED:
            raise


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries to the disk, where the file system can.

    A folder that may be written and not read cannot be opened for it, and is passed over.

    Raises:
        OSError: the disk is full, or failed.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in _UNREADABLE | _NOT_OFFERED:
            return
        raise
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)


def lock(descriptor: int, *, wait: bool = True) -> None:
    """Hold off others until the descriptor is closed, where the file system has locks.

    Raises:
        BlockingIOError: another process holds it, and ``wait`` is false.
        OSError: it cannot be locked.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def allocate(descriptor: int, num_bytes: int) -> None:
    """Make a file so long, and take its room on the disk now where the file system can.

    Raises:
        OSError: the disk is full, or failed.
    """
    try:
        os.posix_fallocate(descriptor, 0, num_bytes)
    except OSError as error:
        if error.errno not in _NOT_OFFERED | {errno.ENODEV}:
            raise
        os.ftruncate(descriptor, num_bytes)
