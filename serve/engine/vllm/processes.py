"""The processes of an engine that runs outside the server's own: find them, end them, tidy up.

Linux only, by /proc; elsewhere nothing is found, and the engine's own shutdown has to do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path

from models.memory.host_memory import read_text
from serve.engine.vllm.kinship import Kinship, parent_of

PROC = Path("/proc")
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - looked at, and only tidied up


@dataclass(frozen=True, slots=True)
class Process:
    """A process, and when it started: process ids are used again."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int, proc: Path = PROC) -> Process | None:
        """The process of that id; None when there is none."""
        # Fields follow the name, which may hold spaces and parentheses (proc(5), /proc/pid/stat).
        fields = read_text(proc / str(pid) / "stat").rpartition(")")[2].split()
        return cls(pid, fields[19]) if len(fields) > 19 and fields[0] != "Z" else None

    def is_alive(self, proc: Path = PROC) -> bool:
        return Process.of(self.pid, proc) == self


def family(pids: Iterable[int], proc: Path = PROC) -> list[Process]:
    """The processes and all that descend from them."""
    return _with_descendants(pids, Kinship(proc))


def _with_descendants(pids: Iterable[int], kinship: Kinship) -> list[Process]:
    processes = []
    for pid in pids:
        process = Process.of(pid, kinship.proc)
        if process is not None:
            processes += [process, *_with_descendants(kinship.children(pid), kinship)]
    return processes


def engine_family(cores: Iterable[int], proc: Path = PROC) -> list[Process]:
    """An engine's processes, given those that this process had started: the cores.

    Cores that come from a fork server have all other processes of their engine as siblings; the
    fork server itself is not among them.
    """
    processes: dict[Process, None] = {}
    kinship = Kinship(proc)
    for core in cores:
        processes |= dict.fromkeys(_with_descendants([core], kinship))
        parent = parent_of(core, proc)
        if parent is not None and parent not in {0, 1, os.getpid()}:
            processes |= dict.fromkeys(_with_descendants(kinship.children(parent), kinship))
    return list(processes)


def shared_memory(processes: Iterable[Process], proc: Path = PROC) -> set[Path]:
    """The files under /dev/shm that they have mapped.

    By inode: a semaphore is mapped under the name that it had while it was made (sem_open(3)).
    """
    inodes = {
        fields[4]
        for process in processes
        for line in read_text(proc / str(process.pid) / "maps").splitlines()
        if len(fields := line.split(maxsplit=5)) == 6 and Path(fields[5]).parent == SHARED_MEMORY
    }
    return {file for file in _files(SHARED_MEMORY) if _inode(file) in inodes}


def forget(files: Iterable[Path]) -> None:
    """Take files of killed processes, now removed, off the books of Python's resource tracker.

    It would report each as leaked when this process ends, and its books would grow for ever.
    """
    for file in files:
        kind, name = "shared_memory", file.name
        if name.startswith("sem."):
            kind, name = "semaphore", name.removeprefix("sem.")
        # It complains of names that it does not know: of those whose maker could still tell it.
        resource_tracker.register(f"/{name}", kind)
        resource_tracker.unregister(f"/{name}", kind)


def kill(processes: Iterable[Process]) -> None:
    """SIGKILL, which stopped processes obey too. Those that are gone are left alone."""
    for process in processes:
        if process.is_alive():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, signal.SIGKILL)


def wait_gone(processes: Iterable[Process], patience_s: float) -> None:
    """Wait, so long at most: one that was killed lives on until its memory is given back."""
    until = time.monotonic() + patience_s
    for process in processes:
        while process.is_alive() and time.monotonic() < until:
            time.sleep(0.01)


def remove(files: Iterable[Path]) -> list[Path]:
    """Unlink what is still there, and say what that was."""
    return [file for file in files if _unlink(file)]


def end_descendants(patience_s: float, proc: Path = PROC) -> None:
    """End all that this process has started, and remove the shared memory that it had.

    For a start that is broken off, when nobody knows yet what belongs to the engine. Those that
    tidy up after others, this package's reaper and Python's resource tracker, end by themselves.
    """
    for _ in range(3):  # what a child began meanwhile is found the next time
        descendants = [
            process
            for process in family([os.getpid()], proc)[1:]
            if not _tidies_up(process.pid, proc)
        ]
        files = shared_memory(descendants, proc)
        kill(descendants)
        wait_gone(descendants, patience_s)
        remove(files)
        forget(files)


def _tidies_up(pid: int, proc: Path) -> bool:
    words = read_text(proc / str(pid) / "cmdline")
    return "vllm.reaper" in words or "resource_tracker" in words


def _unlink(file: Path) -> bool:
    try:
        file.unlink()
    except OSError:
        return False
    return True


def _files(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return list(folder.iterdir())
    return []


def _inode(file: Path) -> str:
    with contextlib.suppress(OSError):
        return str(file.stat().st_ino)
    return ""
