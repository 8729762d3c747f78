"""Processes of a measurement: started, waited for, and ended with everything that they started."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
import urllib.error
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.direct_http import direct

ROOT = Path(__file__).parents[1]
START_TIMEOUT_S = 240.0
PAUSE_S = 0.2
_END_S = 20


class StartError(RuntimeError):
    """A process did not become ready; the message has its last words."""


class Child:
    """One process in a group of its own; what it prints goes to a file.

    Args:
        command: program and arguments.
        log: for its standard error, and for standard output unless that is read.
        variables: of the environment, beside those of this process.
        is_conversation: its standard input and output are a conversation.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        variables: Mapping[str, str] | None = None,
        is_conversation: bool = False,
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(  # noqa: S603 - systems that the user asked for
                command,
                cwd=ROOT,
                env=os.environ | dict(variables or {}),
                stdin=subprocess.PIPE if is_conversation else subprocess.DEVNULL,
                stdout=subprocess.PIPE if is_conversation else output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def log_end(self, most: int = 1500) -> str:
        """The end of what it printed, for a message."""
        return self._log.read_text("utf-8", "replace")[-most:].strip()

    async def close(self) -> None:
        """SIGTERM, and SIGKILL for what is left of the group afterwards. Idempotent."""
        if self.is_running:
            self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self.process.wait, _END_S)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await asyncio.to_thread(self.process.wait)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


async def wait_ready(
    child: Child, url: str, *, timeout_s: float = START_TIMEOUT_S, pause_s: float = PAUSE_S
) -> None:
    """Wait until the address answers 200.

    Args:
        pause_s: between two questions.

    Raises:
        StartError: the process ended, or it took too long.
    """
    deadline = time.monotonic() + timeout_s
    while child.is_running and time.monotonic() < deadline:
        if await asyncio.to_thread(_answers, url):
            return
        await asyncio.sleep(pause_s)
    why = f"was not ready within {timeout_s:g} s" if child.is_running else "did not start"
    raise StartError(f"{why}: {child.log_end()}")


def free_port() -> int:
    """A port of loopback that was free a moment ago, for a server of our own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with direct.open(url, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False
