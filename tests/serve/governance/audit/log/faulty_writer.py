"""A program that appends entries, and says of each whether it is durable or was refused.

    python -m tests.serve.governance.audit.log.faulty_writer FOLDER NUM

Its system calls may fail (strace). A line is ``ok INDEX NAME`` or ``no NAME``.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from serve.governance.audit.log import journal
from serve.governance.audit.log.errors import LogUnavailable
from tests.serve.governance.audit.log.logs import open_log


async def append(folder: Path, num: int) -> None:
    log = open_log(folder, segment_bytes=3000)
    for number in range(num):
        name = f"entry-{number}"
        try:
            index = await log.append([name.encode()])
        except LogUnavailable:
            print("no", name, flush=True)
        else:
            print("ok", index, name, flush=True)
    await log.close()


if __name__ == "__main__":
    journal.FIRST_PAUSE_S = 0.0
    asyncio.run(append(Path(sys.argv[1]), int(sys.argv[2])))
