"""Processes of a comparison: started, waited for, and ended with everything that they started."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
_END_S = 20


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
