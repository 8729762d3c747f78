"""A temporary folder of one process, which the next one removes if this one is killed.

A lock says whether its process lives: the kernel lets go of it however the process ends.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from models import durable

_LOCK = "lock"
_held: dict[Path, int] = {}


def make(purpose: str) -> Path:
    """A new folder, mode 0700, removed when this process ends; first those of killed ones.

    Args:
        purpose: a word for its name, ``intramural-PURPOSE-...``.
    """
    prefix = f"intramural-{purpose}-"
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        _remove_abandoned(left)
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    durable.lock(lock)
    _held[folder] = lock  # open as long as this process lives
    return folder


@atexit.register
def remove_all() -> None:
    """Remove the folders of this process, for an end that runs no exit handlers."""
    for folder in _held:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(folder: Path) -> None:
    """Remove a folder of this user whose lock nobody holds."""
    try:
        if folder.stat().st_uid != os.getuid():
            return
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:  # gone, or made this moment and not locked yet
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        pass  # in use
    finally:
        os.close(lock)
