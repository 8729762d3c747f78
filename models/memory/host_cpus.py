"""The processors that this process may use. On Linux its cgroups' quotas of time count too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from models.memory.host_memory import read_text


def usable_cpus() -> int:
    """Logical CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_quota(root: Path = Path("/")) -> float | None:
    """CPUs' worth of time that every enclosing cgroup allows; None without a limit.

    Args:
        root: where ``proc`` and ``sys`` are; tests give a folder of their own.
    """
    return min(_quotas(root), default=None)


def num_threads(root: Path = Path("/")) -> int:
    """Threads that can compute at once: usable CPUs, or as many as the quota feeds, at least one.

    More would all be stopped for the rest of each period once they have used it up, and those that
    wait for each other at a step's barriers longest (CFS bandwidth control, Linux kernel docs).
    """
    quota = cpu_quota(root)
    return usable_cpus() if quota is None else max(1, min(usable_cpus(), int(quota)))


def _quotas(root: Path) -> Iterator[float]:
    """Each cgroup's from this process's own up to the root (v2, then v1)."""
    mount = root / "sys/fs/cgroup"
    lines = read_text(root / "proc/self/cgroup").splitlines() or ["0::/", "1:cpu:/"]
    for line in lines:
        _, controllers, path = line.split(":", 2)
        is_v1 = controllers != ""
        if is_v1 and "cpu" not in controllers.split(","):
            continue
        tops = [mount / "cpu", mount / "cpu,cpuacct"] if is_v1 else [mount]
        for top in tops:
            # In a container the path is the host's while the mount shows only its own subtree.
            folder = top / path.lstrip("/")
            for group in (folder, *folder.parents):
                if group.is_relative_to(top):
                    yield from _quota(group, is_v1=is_v1)


def _quota(group: Path, *, is_v1: bool) -> Iterator[float]:
    if is_v1:
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        fields = [read_text(group / name).strip() for name in names]
    else:
        fields = read_text(group / "cpu.max").split()
    if len(fields) == 2 and all(field.isdigit() for field in fields) and int(fields[1]) > 0:
        yield int(fields[0]) / int(fields[1])  # not "max", -1, or no such file
