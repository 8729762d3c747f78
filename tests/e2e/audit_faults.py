"""Calls, one after another, to a server whose audit log's disk may fail (strace).

    python -m tests.e2e.audit_faults FOLDER CALLS

For each call a line: ``whole ID`` where the client has all of an answer, ``refused STATUS CODE``,
or ``cut CODE`` where an answer ended in an error.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from unittest.mock import patch

import httpx
import orjson

from serve.composition.audit_log import ServerLog, open_server_log
from serve.config import Config
from serve.governance.audit.records import chunks
from serve.observe.metrics import Metrics
from tests.serve.api.house import CHAT, chat, error_code_of, house

PAUSE_S = 0.02
MOST_TRIES = 1000


async def asked(client: httpx.AsyncClient, *, is_stream: bool) -> str:
    """The line of one call."""
    answer = await client.post(CHAT, json=chat(stream=is_stream))
    if answer.status_code != 200:
        return f"refused {answer.status_code} {error_code_of(answer.content)}"
    if not is_stream:
        return f"whole {answer.json()['id']}"
    if b'"error":' in answer.content:
        return f"cut {error_code_of(answer.content)}"
    first = orjson.loads(answer.text.partition("\n")[0].removeprefix("data: "))
    return f"whole {first['id']}" if answer.text.endswith("[DONE]\n\n") else "cut"


async def brought_back(log: ServerLog) -> None:
    """Look after the log as a server does, but sooner, until it is in use."""
    for _ in range(MOST_TRIES):
        await log.upkeep.once()
        if log.keeper.is_available:
            return
        await asyncio.sleep(PAUSE_S)
    raise SystemExit("the log did not come back")


async def told(folder: Path, num_calls: int) -> AsyncIterator[str]:
    """Start a server's parts on this folder, and yield the line of each call."""
    config = Config(port=0, audit_dir=folder, audit_name="a", audit_strict=True)
    async with open_server_log(config, folder, Metrics()) as log:
        home = house(audit=log.audit, listeners=(log.refusals,))
        async with home.client() as client:
            for number in range(num_calls):
                yield await asked(client, is_stream=number % 2 == 1)
                if not log.keeper.is_available:
                    await brought_back(log)


async def main(folder: Path, num_calls: int) -> None:
    with patch.object(chunks, "PAUSE_S", 0.0):  # as many writes, in less time
        async for line in told(folder, num_calls):
            print(line, flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
