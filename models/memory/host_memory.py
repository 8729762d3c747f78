"""Free memory that this process may use. On Linux its cgroups count too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def available_bytes(root: Path = Path("/")) -> int | None:
    """Memory that can still be taken without swapping; None where it is not known.

    The least of the kernel's own estimate (``MemAvailable``) and of what every enclosing cgroup
    still allows: in a container the first describes the whole host.

    Args:
        root: where ``proc`` and ``sys`` are; tests give a folder of their own.
    """
    bounds = [*_from_meminfo(root / "proc/meminfo"), *_from_cgroups(root)]
    if bounds:
        return max(0, min(bounds))
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (ValueError, OSError):
        return None


def _from_meminfo(path: Path) -> Iterator[int]:
    for line in read_text(path).splitlines():
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024


def _from_cgroups(root: Path) -> Iterator[int]:
    """Bytes left in each cgroup from this process's own up to the root (v2, then v1)."""
    mount = root / "sys/fs/cgroup"
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in {"", "memory"} and "memory" not in controllers.split(","):
            continue
        is_v1 = controllers != ""
        top = mount / "memory" if is_v1 else mount
        limit, used = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes")
            if is_v1
            else ("memory.max", "memory.current")
        )
        folder = top / path.lstrip("/")
        # In a container the path is the host's while the mount shows only its own subtree.
        for group in (folder, *folder.parents):
            if group.is_relative_to(top):
                yield from _left(group, limit, used)


def _left(group: Path, limit_name: str, used_name: str) -> Iterator[int]:
    limit, used = read_text(group / limit_name).strip(), read_text(group / used_name).strip()
    if not limit.isdigit() or not used.isdigit():  # "max", or no such file
        return
    # Page cache that nobody uses right now counts as used there, and is given back on demand.
    reclaimable = sum(
        int(line.split()[1])
        for line in read_text(group / "memory.stat").splitlines()
        if line.startswith("inactive_file ")
    )
    yield int(limit) - int(used) + reclaimable


def read_text(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return ""
