"""Room on a disk: what is left free, and the error that says how much there is."""

from __future__ import annotations

import shutil
from pathlib import Path

from models.errors import DiskFullError
from models.progress import size

MARGIN_BYTES = 64 << 20
"""Left free: a disk that is full to the last byte stops more than us."""


def disk_full(folder: Path, advice: str, *, needed: int | None = None) -> DiskFullError:
    """The error, with what there is and what is needed.

    Args:
        folder: on the disk.
        advice: what to do; whole sentences.
        needed: bytes, where that is known.
    """
    free = shutil.disk_usage(folder).free
    more = f" {size(needed)} are needed." if needed is not None else ""
    return DiskFullError(f"the disk of {folder} has {size(free)} free.{more} {advice}")


def check(folder: Path, missing: int, advice: str, *, margin_bytes: int = MARGIN_BYTES) -> None:
    """Raises DiskFullError: with so many bytes more the disk of ``folder`` would be full."""
    needed = missing + margin_bytes
    if needed > shutil.disk_usage(folder).free:
        raise disk_full(folder, advice, needed=needed)
