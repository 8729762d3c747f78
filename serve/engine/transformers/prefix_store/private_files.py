"""Folders and files that are this user's own and closed to all others.

What lies in them is as confidential as the prompts that it was computed from.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from models import plain_file

_OTHERS = 0o077
_OTHERS_OF_A_VOLUME = 0o037
"""Bits that no file may have; a Secret's volume belongs to root, and is read by the pod's group."""


def make_private(folder: Path) -> None:
    """Make the folder, or look whether it is as it would have been made.

    Raises:
        OSError: it cannot be made, is no folder but a link, or others may look into it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or not _is_own(found):
        raise OSError(0, "is not this user's own folder, closed to others (chmod 700)", str(folder))


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """One of our own files, for reading.

    Raises:
        OSError: it is not there, is no plain file but a link, or others may use it.
    """
    with plain_file.opened(path) as file:
        if not _is_own(os.fstat(file.fileno())):
            raise OSError(0, "is not this user's own file, closed to others (chmod 600)", str(path))
        yield file


def read_secret(path: Path, max_bytes: int) -> bytes:
    """A small file of the operator's, which a cluster may mount: read by the group, and a link.

    Raises:
        OSError: it cannot be read, others may read it, or it is a link out of its folder.
    """
    content = plain_file.read(path, max_bytes, may_be_link=True)
    found = path.stat()
    is_volume = found.st_uid == 0 and os.geteuid() != 0
    if found.st_mode & (_OTHERS_OF_A_VOLUME if is_volume else _OTHERS):
        raise OSError(0, "is open to group or others (chmod 600)", str(path))
    if not path.resolve().is_relative_to(path.parent.resolve()):
        raise OSError(0, "is a link out of its folder: name the file itself", str(path))
    return content


def _is_own(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and not found.st_mode & _OTHERS
