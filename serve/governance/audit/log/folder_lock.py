"""The lock of a folder that one process writes: of a log, and of its contents."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from models import durable
from serve.governance.audit.log.errors import LogInUse

LOCK: Final = "lock"


def locked(folder: Path) -> int:
    """The descriptor of the folder's lock, which is held.

    Raises:
        LogInUse: another process holds it.
        OSError: it cannot be made.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(folder / LOCK, flags, 0o600)
    try:
        durable.lock(descriptor, wait=False)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise LogInUse(
            f"the audit log {folder} is written by another process (pid {holder or 'unknown'}). "
            "One server writes one log: give this one a name of its own (--audit-name)"
        ) from None
    except OSError:
        os.close(descriptor)
        raise
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor
