"""A command of ours as a process of its own, which ends before the engine starts.

python -m models pull NAME --json      each line of its stdout is an event
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from serve.errors import StartupError

PATIENCE_S = 10.0
"""For the process to end after it was asked to."""
LINE_BYTES = 1 << 20


async def run(
    words: Sequence[str],
    *,
    environment: Mapping[str, str],
    heed: Callable[[Mapping[str, Any]], None],
) -> None:
    """Run it to its end; end it when this task is cancelled.

    Args:
        words: after ``python``.
        environment: of the process.
        heed: is given each event but those of errors.

    Raises:
        StartupError: it failed; with the message of its error event.
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
    fault = f"this process ended without a word: python {' '.join(words)}"
    try:
        if process.stdout is not None:
            async for line in process.stdout:
                event = _event(line)
                match event:
                    case {"event": "error", "message": str(message)}:
                        fault = message
                    case dict():
                        heed(event)
        code = await process.wait()
    finally:
        if process.returncode is None:
            await _end(process)
    if code != 0:
        raise StartupError(fault)


def _event(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


async def _end(process: asyncio.subprocess.Process) -> None:
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), PATIENCE_S)
    except TimeoutError:
        process.kill()
        await process.wait()
