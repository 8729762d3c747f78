"""`python -m serve.engine.vllm.reaper`: ends an engine's processes when their server was killed.

A server that is killed outright (SIGKILL, out of memory) cannot tidy up, and vLLM's processes would
stay, with the memory of a GPU. This one waits on a pipe that closes with the server, whatever ends
it. It takes no part in anything else.
"""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from serve.engine.vllm.processes import Process, forget, kill, remove, wait_gone

GONE_S = 5.0
"""Patience with killed processes: the next engine needs the memory that they hold."""


class Reaper:
    """The server's end of the pipe. Nothing is done to what was not added."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "serve.engine.vllm.reaper"], stdin=subprocess.PIPE, text=True
        )
        self._files: set[Path] = set()
        self._seen: set[Process | Path] = set()

    def add(self, processes: Iterable[Process], files: Iterable[Path]) -> None:
        """Processes to be killed and files to be removed, as soon as they are known."""
        new_processes = [process for process in processes if process not in self._seen]
        new_files = [file for file in files if file not in self._seen]
        if self._child.stdin is None or not (new_processes or new_files):
            return
        self._seen.update(new_processes, new_files)
        self._files.update(new_files)
        entry = {
            "processes": [[process.pid, process.started] for process in new_processes],
            "files": [str(file) for file in new_files],
        }
        with contextlib.suppress(BrokenPipeError):  # somebody ended it: close() does its work
            self._child.stdin.write(json.dumps(entry) + "\n")
            self._child.stdin.flush()

    def close(self) -> None:
        """Have it do its work now, and wait for its end. Idempotent."""
        if self._child.stdin is None or self._child.stdin.closed:
            return
        with contextlib.suppress(BrokenPipeError):
            self._child.stdin.close()
        self._child.wait()
        processes = [item for item in self._seen if isinstance(item, Process)]
        kill(processes)
        wait_gone(processes, GONE_S)
        remove(self._files)
        forget(self._files)


def main() -> None:
    # A terminal's Ctrl-C reaches the whole group; the server decides what follows from it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    entries = [json.loads(line) for line in sys.stdin]  # until the server is gone
    kill(Process(pid, started) for entry in entries for pid, started in entry["processes"])
    remove(Path(file) for entry in entries for file in entry["files"])


if __name__ == "__main__":
    main()
