"""A command of ours in a process of its own, which ends before the engine starts.

python -m models pull NAME --json      each line of its stdout is an event
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from serve.errors import StartupError

TERMINATION_TIMEOUT_S = 10.0
"""Time from SIGTERM to SIGKILL."""
LINE_BYTES = 1 << 20
"""Longest line of events."""


async def run(
    words: Sequence[str],
    *,
    environment: Mapping[str, str],
    on_event: Callable[[Mapping[str, Any]], None],
) -> None:
    """Run a command to its end; when this task is cancelled, terminate it.

    Args:
        words: the arguments of ``python``.
        environment: of the process.
        on_event: called with each event, except errors.

    Raises:
        StartupError: it failed; the message is that of its last error event.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *words,
        env=dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_BYTES,
        start_new_session=True,  # Ctrl-C is for the server, which then ends it
    )
    message = f"this process ended without a word: python {' '.join(words)}"
    try:
        if process.stdout is not None:
            async for line in process.stdout:
                event = _event(line)
                match event:
                    case {"event": "error", "message": str(text)}:
                        message = text
                    case dict():
                        on_event(event)
        code = await process.wait()
    finally:
        if process.returncode is None:
            await _end(process)
    if code != 0:
        raise StartupError(message)


def _event(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


async def _end(process: asyncio.subprocess.Process) -> None:
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), TERMINATION_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
