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


def _is_own(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and not found.st_mode & _OTHERS
