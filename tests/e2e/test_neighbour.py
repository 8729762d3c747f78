"""A neighbour of large requests: its stream goes on. With the clock, so by `make prove` alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.neighbour import ARGUMENTS, gaps_under, heavy_requests
from tests.e2e.server import Server, serving

MOST_LATE_S = 0.05
SECONDS = 5
"""A hundred tokens and more: the worst one may be the machine's own doing."""
HEAVY = heavy_requests()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, *, is_proving: bool) -> Iterator[Server]:
    if not is_proving:
        pytest.skip("measures milliseconds, for minutes; run by `make prove`")
    arguments = [*ARGUMENTS, "--max-num-seqs", "160"]
    with serving(tmp_path_factory.mktemp("neighbour"), arguments) as server:
        yield server


@pytest.mark.parametrize("times", [1, 4])
@pytest.mark.parametrize("name", HEAVY)
def test_a_paced_stream_is_not_held_up(server: Server, name: str, times: int) -> None:
    path, body = HEAVY[name]
    gaps = asyncio.run(gaps_under(server.url, path, body, times=times, seconds=SECONDS))
    assert gaps.status in {200, 400, 503}
    assert len(gaps.late_s) >= 100
    assert gaps.p99_s < MOST_LATE_S


def test_memory_is_given_back(server: Server) -> None:
    """The last of the module: all that went before is forgotten, but for the heaps' own edges."""
    asyncio.run(asyncio.sleep(3))
    kib = next(
        int(line.split()[1])
        for line in (Path("/proc") / str(server.process.pid) / "status").read_text().splitlines()
        if line.startswith("VmRSS")
    )
    assert kib < 300 * 1024
