"""`python -m benchmarks.audit_log FOLDER`: what it takes to have records on the disk.

As fast as it goes, then in bursts, as the steps of an engine make them; and how fast a log is
verified. A baseline of tasks that wait for nothing is taken off the processor time. FOLDER is made,
on the disk that is to be measured, and must not be there. The last line of stdout is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from serve.governance.audit.log.verifying import verify
from serve.governance.audit.log.writer import AuditLog
from serve.governance.audit.tlog.keys import NoteSigner

ORIGIN = "example.com/benchmark"
Append = Callable[[Sequence[bytes]], Awaitable[object]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit_log", description=__doc__)
    parser.add_argument("folder", type=Path, help="made for the log")
    parser.add_argument("--writers", type=int, default=64, help="at once (default: %(default)s)")
    parser.add_argument("--records", type=int, default=64_000, help="(default: %(default)s)")
    parser.add_argument("--bytes", type=int, default=400, help="of a record (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=300, help="bursts (default: %(default)s)")
    parser.add_argument("--hz", type=float, default=30.0, help="bursts a second: %(default)s")
    options = parser.parse_args()
    if options.folder.exists():
        parser.error(f"{options.folder} is there already")
    print(json.dumps(asyncio.run(measure(options))))


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Rates, waits in milliseconds, and processor time in microseconds for a record."""
    signer = NoteSigner.generate(ORIGIN)
    log = AuditLog.open(options.folder, origin=ORIGIN, signer=signer)
    record = b"x" * options.bytes
    try:
        report = {"fast": await _fast(log.append, record, options)}
        idle = await _bursts(_nothing, record, options)
        report["bursts"] = await _bursts(log.append, record, options)
        report["bursts"]["cpu_us_of_tasks_alone"] = idle["cpu_us"]
    finally:
        await log.close()
    begun = time.perf_counter()
    found = verify(options.folder, [signer.verifier])
    report["verify"] = {
        "is_ok": found.is_ok,
        "entries": found.size,
        "entries_per_s": round(found.size / (time.perf_counter() - begun)),
    }
    return report


async def _fast(append: Append, record: bytes, options: argparse.Namespace) -> dict[str, float]:
    waits_ms: list[float] = []

    async def write() -> None:
        num = options.records // options.writers
        waits_ms.extend([await _timed(append, record) for _ in range(num)])

    return await _figures(asyncio.gather(*(write() for _ in range(options.writers))), waits_ms)


async def _bursts(append: Append, record: bytes, options: argparse.Namespace) -> dict[str, float]:
    waits_ms: list[float] = []

    async def write() -> None:
        waits_ms.append(await _timed(append, record))

    async def step() -> None:
        begun = time.perf_counter()
        for number in range(1, options.steps + 1):
            tasks = [asyncio.create_task(write()) for _ in range(options.writers)]
            await asyncio.sleep(max(0.0, begun + number / options.hz - time.perf_counter()))
            await asyncio.gather(*tasks)

    return await _figures(step(), waits_ms)


async def _figures(work: Awaitable[object], waits_ms: list[float]) -> dict[str, float]:
    begun, cpu = time.perf_counter(), time.process_time()
    await work
    wall_s, cpu_s = time.perf_counter() - begun, time.process_time() - cpu
    num = len(waits_ms)
    waits_ms.sort()
    return {
        "records_per_s": round(num / wall_s),
        "p50_ms": round(waits_ms[num // 2], 3),
        "p99_ms": round(waits_ms[num * 99 // 100], 3),
        "cpu_us": round(cpu_s / num * 1e6, 1),
    }


async def _timed(append: Append, record: bytes) -> float:
    begun = time.perf_counter()
    await append([record])
    return (time.perf_counter() - begun) * 1000


async def _nothing(_: Sequence[bytes]) -> None:
    await asyncio.sleep(0)


if __name__ == "__main__":
    main()
