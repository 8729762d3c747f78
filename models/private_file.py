"""A small secret of the operator's, in a file that others cannot read, or that a cluster mounts."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from models import plain_file


class OpenToOthersError(OSError):
    """A file's mode lets group or others use it.

    Attributes:
        mode: its permission bits.
    """

    def __init__(self, path: Path, mode: int) -> None:
        super().__init__(0, "is open to group or others (chmod 600)", str(path))
        self.mode = mode


def read(path: Path, max_bytes: int) -> bytes:
    """The bytes of the file, which may be a link within its folder, as in a Secret's volume.

    Raises:
        OSError: it cannot be read, others may read it, or it is a link out of its folder; with
            words for an operator, and the file's name.
    """
    # Before its mode: who is told to chmod a link to a device would chmod the device.
    content = plain_file.read(path, max_bytes, may_be_link=True)
    _check(path)
    return content


def read_as_text(path: Path, max_bytes: int) -> str:
    """The same as UTF-8. Raises OSError also where it is something else."""
    return plain_file.decoded(read(path, max_bytes), path)


def too_much(found: os.stat_result, user: int) -> int:
    """The mode bits that no private file may have.

    A file in a volume of Kubernetes belongs to root, and a process that is not root can read it by
    its group alone (``fsGroup``): then reading is what the group is for.
    """
    is_volume = found.st_uid == 0 and user != 0
    return 0o037 if is_volume else 0o077


def _check(path: Path) -> None:
    found = path.stat()
    mode = stat.S_IMODE(found.st_mode)
    if mode & too_much(found, os.geteuid()):
        raise OpenToOthersError(path, mode)
    # A Secret's volume has links, and all of them lie within it.
    if not path.resolve().is_relative_to(path.parent.resolve()):
        raise OSError(0, "is a link out of its folder: name the file itself", str(path))
