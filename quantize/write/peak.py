"""How much memory this process has held at most."""

from __future__ import annotations

import resource
from pathlib import Path


def peak_bytes(status: Path = Path("/proc/self/status")) -> int:
    """Resident bytes at most: the kernel's ``VmHWM``, or ``getrusage`` where there is no /proc.

    The first is preferred because the second begins, on Linux, with what the parent had held.
    """
    try:
        for line in status.read_text("ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
