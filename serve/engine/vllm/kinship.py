"""The children of processes, by /proc.

``/proc/PID/task/TID/children`` answers at once, and is missing where the kernel was built without
CONFIG_PROC_CHILDREN, and under gVisor. There every process is asked for its parent (proc(5)).
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from models.memory.host_memory import read_text


class Kinship:
    """A look at who started whom. Without lists of children all processes are read, once a look.

    Args:
        proc: where /proc is.
    """

    def __init__(self, proc: Path) -> None:
        self.proc = proc

    def children(self, pid: int) -> list[int]:
        """Process ids of the children, of all threads; empty where there is no such process."""
        tasks: list[Path] = []
        with contextlib.suppress(OSError):
            tasks = sorted((self.proc / str(pid) / "task").iterdir())
        if tasks and not any((task / "children").exists() for task in tasks):
            return list(self._by_parent.get(pid, ()))
        return [int(child) for task in tasks for child in read_text(task / "children").split()]

    @cached_property
    def _by_parent(self) -> Mapping[int, list[int]]:
        children: defaultdict[int, list[int]] = defaultdict(list)
        with contextlib.suppress(OSError):
            for folder in self.proc.iterdir():
                parent = parent_of(int(folder.name), self.proc) if folder.name.isdigit() else None
                if parent is not None:
                    children[parent].append(int(folder.name))
        return children


def parent_of(pid: int, proc: Path) -> int | None:
    """The process id of the parent; None where there is no such process."""
    # Fields follow the name, which may hold spaces and parentheses.
    fields = read_text(proc / str(pid) / "stat").rpartition(")")[2].split()
    return int(fields[1]) if len(fields) > 1 else None
