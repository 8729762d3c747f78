"""A program that forks writers and kills them, and looks after each at what is left.

    python -m tests.serve.governance.audit.log.killed_writer steps FOLDER EVERY
    python -m tests.serve.governance.audit.log.killed_writer random FOLDER KILLS SEED

EVERY is 1 for every step, 2 for every other one. Each writer is a process of its own that ends as
a kill ends it; forking spares a thousand starts of Python. The last line is JSON: how many kills
there were, and what was acknowledged.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.serve.governance.audit.log.logs import open_log, opened, read, verified

STEPS = ("write", "fsync", "fdatasync", "replace", "unlink", "open", "mkdir", "ftruncate")
NUM_TASKS = 64
FIRST, GROUPS, GROUP = 250, 4, 5
"""The first full bundle comes about while steps are counted."""


def main() -> None:
    kind, folder, *rest = sys.argv[1:]
    kill = {"steps": kill_at_each_step, "random": kill_at_random}[kind]
    print(json.dumps(kill(Path(folder), *map(int, rest))))


def kill_at_each_step(folder: Path, every: int) -> dict[str, int]:
    """Exit before every call that changes the disk, and in the middle of each write.

    From an empty folder, and from a log that is there.
    """
    start = folder / "start"
    asyncio.run(_append_some(start, 0, [FIRST]))
    kills = 0
    for origin in (None, start):
        for is_half in (False, True):
            for step in range(1 + kills % every, 1000, every):
                log = folder / f"log-{kills}"
                if origin is not None:
                    shutil.copytree(origin, log)
                acknowledged = _forked(
                    lambda log=log, step=step, is_half=is_half: _steps(log, step, is_half)
                )
                had = FIRST if origin else 0
                _check_steps(log, had, acknowledged)
                shutil.rmtree(log)
                if acknowledged.endswith("all\n"):
                    break
                kills += 1
            else:
                raise AssertionError("it never ended")
    return {"kills": kills}


def _steps(folder: Path, step: int, is_half: bool) -> None:
    """Append and publish, but end at the given call."""
    left = [step]
    for name in STEPS:
        setattr(os, name, _counted(name, getattr(os, name), left, is_half))
    had = FIRST if folder.exists() else 0
    asyncio.run(_append_some(folder, had, [GROUP] * GROUPS, tell=True))


def _counted(
    name: str, real: Callable[..., Any], left: list[int], is_half: bool
) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        if name == "open" and not arguments[1] & os.O_CREAT:
            return real(*arguments, **named)
        if name == "write" and arguments[0] == TOLD:
            return real(*arguments, **named)
        left[0] -= 1
        if left[0] == 0:
            if is_half and name == "write":
                real(arguments[0], arguments[1][: len(arguments[1]) // 2])
            os._exit(9)
        return real(*arguments, **named)

    return call


def _check_steps(folder: Path, had: int, acknowledged: str) -> None:
    num = max([had, *(int(line) for line in acknowledged.split() if line.isdigit())])
    before = verified(folder) if (folder / "checkpoint").exists() else None
    if before is not None and before.bad is not None:
        assert "torn" in before.bad.reason, before.bad
        assert before.bad.index is not None
        assert before.bad.index >= num
    asyncio.run(_append_some(folder, 0, []))
    found = read(folder)
    assert len(found) >= num, (len(found), num)
    assert found == [b"%d" % number for number in range(len(found))]
    assert len(found) <= num + GROUP
    result = verified(folder)
    assert result.bad is None, result
    assert result.num_verified == len(found)


async def _append_some(folder: Path, first: int, groups: list[int], *, tell: bool = False) -> None:
    async with opened(folder) as log:
        for num in groups:
            await log.append([b"%d" % number for number in range(first, first + num)])
            first += num
            if tell:
                os.write(TOLD, b"%d\n" % first)
    if tell:
        os.write(TOLD, b"all\n")


def kill_at_random(folder: Path, num_kills: int, seed: int) -> dict[str, int]:
    """Kill writers of one log while 64 tasks append; no acknowledged entry may be missing."""
    chance = random.Random(seed)
    acknowledged: dict[int, str] = {}
    torn = 0
    for number in range(num_kills):
        told = _forked(
            lambda number=number: asyncio.run(_append_for_ever(folder, number)),
            kill_after_s=chance.choice((0.02, 0.1)) * chance.random(),
        )
        for line in told.splitlines():
            index, _, name = line.partition(" ")
            if name.endswith("."):  # else the kill cut the line
                assert acknowledged.setdefault(int(index), name) == name
        log = open_log(folder)
        torn += log.recovery.torn_bytes > 0
        asyncio.run(log.close())
        if number % 20 == 0 or number + 1 == num_kills:
            assert verified(folder).bad is None, verified(folder)
    found = [entry.decode() for entry in read(folder)]
    lost = [index for index, name in acknowledged.items() if found[index] != name]
    assert not lost, lost
    assert len(set(found)) == len(found)
    return {
        "kills": num_kills,
        "acknowledged": len(acknowledged),
        "entries": len(found),
        "torn": torn,
    }


async def _append_for_ever(folder: Path, number: int) -> None:
    log = open_log(folder, publish_every_s=0.01, publish_at=256, segment_bytes=20_000)

    async def one(task: int) -> None:
        for turn in range(10**9):
            name = b"%d-%d-%d." % (number, task, turn)
            index = await log.append([name])
            os.write(TOLD, b"%d %s\n" % (index, name))

    os.write(TOLD, b"begun\n")
    await asyncio.gather(*(one(task) for task in range(NUM_TASKS)))


TOLD = 100
"""The descriptor on which a writer tells what was acknowledged."""


def _forked(work: Callable[[], None], *, kill_after_s: float | None = None) -> str:
    """Run in a process of its own. Returns what it told until it ended."""
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        os.close(reading)
        os.dup2(writing, TOLD)
        os.close(writing)
        try:
            work()
        finally:
            os._exit(0)
    os.close(writing)
    told, until = b"", None
    while True:
        if kill_after_s is not None and until is None and b"\n" in told:
            until = time.monotonic() + kill_after_s
        if until is not None and time.monotonic() >= until:
            os.kill(process, signal.SIGKILL)
            until = float("inf")
        wait_s = None if until in (None, float("inf")) else max(0.0, until - time.monotonic())
        if select.select([reading], [], [], wait_s)[0]:
            more = os.read(reading, 1 << 16)
            if not more:
                break
            told += more
    os.close(reading)
    os.waitpid(process, 0)
    return told.decode().removeprefix("begun\n")


if __name__ == "__main__":
    main()
