"""Memory of a real server under mutated bodies, on the engine that runs a model in its process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import httpx
import pytest

from models.memory.host_memory import read_text
from tests.e2e.server import Server, serving
from tests.serve.api.mutations import mutations

NUM_BODIES = 20_000
NUM_PARTS = 4
NUM_CLIENTS = 8
CACHE = ("--kv-cache-tokens", "4096")
"""13 MB. The system gives memory of the KV cache as it is first written: that is in the banner, and
no growth by what is sent.
"""
MOST_GROWTH_BYTES = 50 << 20
MOST_LAST_GROWTH_BYTES = 10 << 20
"""Over the last quarter: a server that leaks goes on."""


def resident_bytes(server: Server) -> int:
    """Memory of the server's process."""
    status = read_text(Path("/proc") / str(server.process.pid) / "status")
    kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    return int(kib) * 1024


async def post_all(url: str, bodies: Iterator[tuple[str, bytes]], num: int) -> Counter[int]:
    """Post so many bodies, some at once, and count their answers by status."""
    statuses: Counter[int] = Counter()
    given = islice(bodies, num)
    headers = {"content-type": "application/json"}
    async with httpx.AsyncClient(base_url=url, timeout=600, trust_env=False) as client:

        async def work() -> None:
            for path, body in given:
                response = await client.post(path, content=body, headers=headers)
                statuses[response.status_code] += 1

        await asyncio.gather(*[work() for _ in range(NUM_CLIENTS)])
    return statuses


def test_mutated_bodies_do_not_make_it_grow(tmp_path: Path, *, is_proving: bool) -> None:
    if not is_proving:
        pytest.skip("20,000 requests to a model, some minutes; run by `make prove`")
    bodies = mutations("memory")
    arguments = ["--model", "demo", "--engine", "transformers", *CACHE]
    with serving(tmp_path, arguments) as server:
        sizes = [resident_bytes(server)]
        for _ in range(NUM_PARTS):
            statuses = asyncio.run(post_all(server.url, bodies, NUM_BODIES // NUM_PARTS))
            assert statuses[500] == 0
            sizes.append(resident_bytes(server))
        assert sizes[-1] - sizes[0] < MOST_GROWTH_BYTES, sizes
        assert sizes[-1] - sizes[-2] < MOST_LAST_GROWTH_BYTES, sizes
        assert server.get("/readyz").status_code == httpx.codes.OK
