"""The lock of a folder of subjects' keys: whoever writes or destroys one holds it meanwhile.

A server writes them, and `audit erase` destroys them beside it. Without the lock a key that is
being wrapped anew could be written again after it was destroyed.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from models import durable
from serve import timeline

LOCK: Final = "lock"
PATIENCE_S: Final = 10.0
"""Others hold it for the time of a few writes to the disk."""
_PAUSE_S: Final = 0.01


@contextmanager
def keys_lock(folder: Path, *, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold the lock while the block runs; other threads of this process are held off, too.

    Args:
        folder: of the keys; it is there.

    Raises:
        TimeoutError: another holds it for longer than ``patience_s``.
        OSError: it cannot be made.
    """
    descriptor = _made(folder)
    try:
        _wait_for(descriptor, folder, timeline.now() + patience_s)
        yield
    finally:
        os.close(descriptor)


def _made(folder: Path) -> int:
    """The lock's file, open: of the folder's owner also where root makes it first."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(folder / LOCK, flags, 0o600)
    try:
        owner = folder.stat()
        if os.geteuid() == 0 and os.fstat(descriptor).st_uid != owner.st_uid:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _wait_for(descriptor: int, folder: Path, until: float) -> None:
    while True:
        try:
            durable.lock(descriptor, wait=False)
            break
        except BlockingIOError:
            if timeline.now() >= until:
                holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
                raise TimeoutError(
                    errno.ETIMEDOUT,
                    "subjects' keys are being changed by another process "
                    f"(pid {holder or 'unknown'}), which holds the lock for too long",
                    str(folder),
                ) from None
        time.sleep(_PAUSE_S)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
