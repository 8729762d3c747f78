"""`python -m serve.engine.reaper`: ends an engine's processes when their server was killed.

A server that is killed outright (SIGKILL, out of memory) cannot tidy up, and vLLM's processes would
stay, with the memory of a GPU. This one waits on a pipe that closes with the server, whatever ends
it. It takes no part in anything else.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from serve.engine.processes import Process, kill, remove


class Reaper:
    """The server's end of the pipe.

    Args:
        processes: to be killed.
        files: to be removed.
    """

    def __init__(self, processes: Iterable[Process], files: Iterable[Path]) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "serve.engine.reaper"], stdin=subprocess.PIPE, text=True
        )
        if self._child.stdin is not None:
            will = {
                "processes": [[process.pid, process.started] for process in processes],
                "files": [str(file) for file in files],
            }
            self._child.stdin.write(json.dumps(will) + "\n")
            self._child.stdin.flush()

    def close(self) -> None:
        """Have it do its work now, and wait for its end. Idempotent."""
        if self._child.stdin is not None and not self._child.stdin.closed:
            self._child.stdin.close()
        self._child.wait()


def main() -> None:
    # A terminal's Ctrl-C reaches the whole group; the server decides what follows from it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    will = json.loads(sys.stdin.readline() or "{}")
    sys.stdin.read()  # until the server is gone
    kill(Process(pid, started) for pid, started in will.get("processes", ()))
    remove(Path(file) for file in will.get("files", ()))


if __name__ == "__main__":
    main()
