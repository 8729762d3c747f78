"""Volumes of Secrets and ConfigMaps, laid out as the kubelet does it.

    keys.json -> ..data/keys.json         what a container opens
    ..data -> ..2026_11_29_10_00_00.1     exchanged in one step when the object changes
    ..2026_11_29_10_00_00.1/keys.json     root's, readable to the pod's group (fsGroup)

Source: kubernetes/pkg/volume/util, atomic_writer.go and volume_linux.go.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from itertools import count
from pathlib import Path

_number = count(1)
_GROUP_READS = 0o040
_GROUP_ENTERS = 0o2050


def mount(
    folder: Path, files: Mapping[str, bytes], *, mode: int = 0o400, group: int | None = None
) -> None:
    """Write the volume, or bring it up to date.

    Args:
        folder: where it is mounted; made where it is not there. Without files it is empty.
        files: the object's data.
        mode: the volume's defaultMode.
        group: the pod's fsGroup; None to leave owners and groups alone, as who is not root must.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "..data"
    former = data.resolve() if data.is_symlink() else None
    written = folder / f"..2026_11_29_10_00_00.{next(_number)}"
    written.mkdir(mode=0o755)
    for name, content in files.items():
        (written / name).write_bytes(content)
        (written / name).chmod(mode | _GROUP_READS)
    if group is not None:
        for path in (folder, written, *written.iterdir()):
            os.chown(path, 0, group)
        for path in (folder, written):
            path.chmod(0o755 | _GROUP_ENTERS)
    swap = folder / "..data_tmp"
    swap.symlink_to(written.name)
    swap.replace(data)
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    for path in folder.iterdir():
        if not path.name.startswith("..") and path.name not in files:
            path.unlink()
    if former is not None:
        shutil.rmtree(former)
