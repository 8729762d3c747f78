"""Watches a starting vLLM from outside: it loads in processes of its own and reports nothing.

The signal is the memory map of its workers. vLLM maps one weight file after the other and copies
tensors out of it; the kernel counts the bytes of each mapping that were touched (``Rss`` in
/proc/PID/smaps, proc(5)). A file that is no longer mapped has been read to its end.

::

    import ── a file is mapped ──▶ load_weights ── all were, none is ──▶ allocate_kv ──▶ warm_up

So ``load_weights`` has true bytes. That the cache is allocated cannot be seen from outside, and
``warm_up`` is reported with the end of the start; nor can anything be seen of files that are read
in another way (``safetensors_load_strategy``) or faster than we look, nor without /proc.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from models.memory.host_memory import read_text
from serve.engine.protocol import Progress
from serve.engine.vllm.processes import PROC, Process, engine_family, shared_memory
from serve.engine.vllm.reaper import Reaper

LOOK_S = 0.1
"""Seconds between two looks, each some milliseconds of work."""


class LoadProgress:
    """Derives the phases of a start from the files that are mapped.

    Args:
        sizes: bytes of each weight file.
        progress: called with the phases.
    """

    def __init__(self, sizes: Mapping[Path, int], progress: Progress) -> None:
        self._sizes = sizes
        self._progress = progress
        self._read: dict[Path, int] = {}
        self._is_loaded = False

    def look(self, resident: Mapping[Path, int]) -> None:
        """One look.

        Args:
            resident: bytes touched of each file that is mapped now; others are ignored.
        """
        mapped = {file: resident[file] for file in self._sizes if file in resident}
        if self._is_loaded or not (mapped or self._read):
            return
        for file, size in self._sizes.items():
            if file in mapped:
                self._read[file] = max(self._read.get(file, 0), min(size, mapped[file]))
            elif file in self._read:
                self._read[file] = size
        self._progress("load_weights", sum(self._read.values()), sum(self._sizes.values()))
        if not mapped and len(self._read) == len(self._sizes):
            self._is_loaded = True
            self._progress("allocate_kv", 0, 1)

    def finish(self) -> None:
        """The engine is up: all phases are over, those unseen too."""
        if not self._is_loaded:
            total = sum(self._sizes.values())
            self._progress("load_weights", total, total)
        self._progress("allocate_kv", 1, 1)
        self._progress("warm_up", 1, 1)


class LoadWatch:
    """Looks at the processes that this one starts within the context, and remembers them.

    Args:
        folder: the model's.
        names: of its weight files.
        progress: called with the phases, from a thread.
        reaper: given the processes and their shared memory, so that they are ended with this one
            also while they load.
    """

    def __init__(
        self, folder: Path, names: Iterable[str], progress: Progress, reaper: Reaper
    ) -> None:
        files = [(folder / name).resolve() for name in names]
        sizes = {file: file.stat().st_size for file in files}
        self._progress = LoadProgress(sizes, progress)
        self._reaper = reaper
        self._others = {child.pid for child in multiprocessing.active_children()}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        if kind is None:
            self._progress.finish()

    def _run(self) -> None:
        while not self._is_over.wait(LOOK_S):
            children = {child.pid for child in multiprocessing.active_children()} - self._others
            processes = engine_family(pid for pid in children if pid is not None)
            self._reaper.add(processes, shared_memory(processes))
            self._progress.look(resident_bytes(processes))


def resident_bytes(processes: Iterable[Process], proc: Path = PROC) -> dict[Path, int]:
    """Bytes touched of each weight file that is mapped; the most of any process."""
    resident: dict[Path, int] = {}
    for process in processes:
        folder = proc / str(process.pid)
        if ".safetensors" not in read_text(folder / "maps"):
            continue  # the next file takes the kernel a walk over all pages
        touched: dict[Path, int] = {}
        file: Path | None = None
        for line in read_text(folder / "smaps").splitlines():
            first, _, rest = line.partition(" ")
            if not first.endswith(":"):  # START-END PERMISSIONS OFFSET DEVICE INODE PATH
                fields = rest.split(maxsplit=4)
                name = fields[4] if len(fields) == 5 else ""
                file = Path(name) if name.endswith(".safetensors") else None
            elif first == "Rss:" and file is not None:
                touched[file] = touched.get(file, 0) + int(rest.split()[0]) * 1024
        for path, size in touched.items():
            resident[path] = max(resident.get(path, 0), size)
    return resident
