"""A file that someone names, read so that nothing else can take its place.

A pipe would be waited on for ever, a device never ends, and what is too large would fill the
memory: each is an OSError in words, before or at the bound.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read(path: Path, *, max_bytes: int, may_be_pipe: bool = False) -> bytes:
    """The file's bytes. Links are followed.

    Args:
        max_bytes: most that are read.
        may_be_pipe: a shell's ``<(command)`` will do. One without a writer is empty.

    Raises:
        OSError: it cannot be read, is no regular file, or has more than ``max_bytes``.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _check(descriptor, path, max_bytes, may_be_pipe=may_be_pipe)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(max_bytes + 1)  # /proc states no size, and a file may grow
    finally:
        os.close(descriptor)
    if len(content) > max_bytes:
        raise _too_large(path, len(content), max_bytes)
    return content


def read_text(path: Path, *, max_bytes: int, may_be_pipe: bool = False) -> str:
    """The file's text, in UTF-8.

    Raises:
        OSError: as ``read``.
        UnicodeDecodeError: it is not UTF-8.
    """
    return read(path, max_bytes=max_bytes, may_be_pipe=may_be_pipe).decode("utf-8")


def _check(descriptor: int, path: Path, max_bytes: int, *, may_be_pipe: bool) -> None:
    found = os.fstat(descriptor)
    if may_be_pipe and stat.S_ISFIFO(found.st_mode):
        os.set_blocking(descriptor, True)
        return
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for is_kind, name in _KINDS if is_kind(found.st_mode)), "special")
        raise OSError(errno.EINVAL, f"it is {kind}, and a regular file is needed", str(path))
    if found.st_size > max_bytes:
        raise _too_large(path, found.st_size, max_bytes)


def _too_large(path: Path, num_bytes: int, max_bytes: int) -> OSError:
    text = f"it has {num_bytes:,} bytes or more, and at most {max_bytes:,} are read"
    return OSError(errno.EFBIG, text, str(path))
