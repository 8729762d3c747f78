"""A small secret of the operator's, in a file that others cannot read, or that a cluster mounts."""

from __future__ import annotations

import os
from pathlib import Path

from models import plain_file

_OTHERS = 0o077
_OTHERS_OF_A_VOLUME = 0o037
"""Bits that no such file may have; a Secret's volume belongs to root, and its group reads it."""


def read(path: Path, max_bytes: int) -> bytes:
    """The bytes of the file, which may be a link within its folder, as in a Secret's volume.

    Raises:
        OSError: it cannot be read, others may read it, or it is a link out of its folder; with
            words for an operator, and the file's name.
    """
    content = plain_file.read(path, max_bytes, may_be_link=True)
    found = path.stat()
    is_volume = found.st_uid == 0 and os.geteuid() != 0
    if found.st_mode & (_OTHERS_OF_A_VOLUME if is_volume else _OTHERS):
        raise OSError(0, "is open to group or others (chmod 600)", str(path))
    if not path.resolve().is_relative_to(path.parent.resolve()):
        raise OSError(0, "is a link out of its folder: name the file itself", str(path))
    return content
