"""Small files that are there whole or not at all, and still there after a power cut."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write by rename, with the file and then its folder on the disk when this returns.

    A crash can leave ``.NAME.new`` beside it, which the next write replaces.

    Raises:
        OSError: it could not be written; an older file is as it was.
    """
    new = new_name(path)
    new.unlink(missing_ok=True)
    try:
        with new.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
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
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
