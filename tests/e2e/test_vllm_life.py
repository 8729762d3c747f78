"""vLLM's processes are killed, stopped and left behind, under load; the server lives on.

The engine is vLLM on a CPU. `make test` kills 10 times, `make prove` 200 times.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from serve.engine.vllm.processes import Process, family, shared_memory
from tests.e2e.server import Server, engine_processes, serving, wait_ready
from tests.e2e.stream_load import StreamLoad
from tests.tiny_models import write_tiny_model

pytest.importorskip("vllm", reason="vLLM is not installed")

NUM_CLIENTS = 8
STALL_S = 4.0
FLAGS = ["--engine", "vllm", "--enforce-eager", "--max-model-len", "512", "--max-num-seqs", "8"]
PROC = Path("/proc")
KIB_PER_RESTART = 512
"""The server may grow by so much per restart, on average."""


@dataclass(frozen=True)
class Footprint:
    """What a process holds."""

    rss_kib: int
    num_threads: int
    num_descriptors: int

    @classmethod
    def of(cls, pid: int) -> Footprint:
        status = dict(
            line.split(":", 1) for line in (PROC / str(pid) / "status").read_text().splitlines()
        )
        return cls(
            int(status["VmRSS"].split()[0]),
            int(status["Threads"]),
            len(list((PROC / str(pid) / "fd").iterdir())),
        )


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")
    return ["--model", str(folder), *FLAGS, "--engine-stall-timeout", str(STALL_S)]


@pytest.fixture(scope="module")
def server(arguments: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("log"), arguments) as server:
        yield server
        assert server.terminate() == 0
        assert "leaked" not in server.log.read_text()


async def until_down(server: Server) -> None:
    async with asyncio.timeout(30), httpx.AsyncClient() as client:
        while (await client.get(server.url + "/readyz")).status_code == 200:
            await asyncio.sleep(0.005)


async def until_gone(processes: list[Process], files: set[Path]) -> None:
    async with asyncio.timeout(30):
        while any(one.is_alive() for one in processes) or any(file.exists() for file in files):
            await asyncio.sleep(0.01)


async def test_a_saturated_engine_is_not_taken_for_a_hung_one(server: Server) -> None:
    load = StreamLoad(server, 64, max_tokens=200)
    load.fill_prompts(300)
    async with load.running():
        await asyncio.sleep(2 * STALL_S)
    assert load.odd == []
    assert set(load.ends) == {"length"}
    assert load.ends["length"] >= 64
    assert "engine hung" not in server.log.read_text()


@pytest.mark.parametrize("victim", [0, -1], ids=["core", "worker"])
async def test_a_stopped_process_is_noticed(server: Server, victim: int) -> None:
    load = StreamLoad(server, NUM_CLIENTS)
    engine = engine_processes(server)
    async with load.running():
        streams = await load.all_open()
        os.kill(engine[victim].pid, signal.SIGSTOP)
        await until_down(server)
        await load.ended(streams)
        await asyncio.to_thread(wait_ready, server)
        await load.all_open()
    assert load.odd == []
    assert load.ends["engine_dead"] >= NUM_CLIENTS
    assert "cut off" not in load.ends
    assert "counts as hung" in server.log.read_text()
    assert [process for process in engine if process.is_alive()] == []


async def test_kills_under_load(server: Server, is_proving: bool) -> None:
    num_kills = 200 if is_proving else 10
    load = StreamLoad(server, NUM_CLIENTS)
    footprints: list[Footprint] = []
    async with load.running():
        for number in range(num_kills):
            streams = await load.all_open()
            engine = engine_processes(server)
            files = shared_memory(engine)
            os.kill(engine[0 if number % 2 == 0 else -1].pid, signal.SIGKILL)
            await until_down(server)
            await load.ended(streams)
            await asyncio.to_thread(wait_ready, server)
            await until_gone(engine, files)
            assert server.process.poll() is None
            await load.all_open()
            footprints.append(Footprint.of(server.process.pid))
            print(number, footprints[-1], dict(load.ends), load.num_refused)
    assert load.odd == []
    assert set(load.ends) <= {"length", "engine_dead"}
    assert load.ends["engine_dead"] >= num_kills * NUM_CLIENTS
    assert load.num_refused > 0
    second, last = footprints[1], footprints[-1]
    assert last.num_threads <= second.num_threads + 1  # one more may sleep in the thread pool
    assert last.num_descriptors <= second.num_descriptors + NUM_CLIENTS  # connections that end
    assert last.rss_kib - second.rss_kib <= KIB_PER_RESTART * num_kills


async def test_ctrl_c_lets_running_streams_finish(arguments: list[str], tmp_path: Path) -> None:
    with serving(tmp_path, arguments, has_own_group=True) as server:
        load = StreamLoad(server, NUM_CLIENTS, max_tokens=490)
        asked = [asyncio.create_task(load.one()) for _ in range(NUM_CLIENTS)]
        await load.all_open()
        os.killpg(server.process.pid, signal.SIGINT)
        await asyncio.gather(*asked)
        assert load.odd == []
        assert load.ends == {"length": NUM_CLIENTS}
        assert await asyncio.to_thread(server.process.wait, 60) == 0
        assert "engine died" not in server.log.read_text()


@pytest.mark.parametrize("is_ready", [False, True], ids=["loading", "serving"])
async def test_a_killed_server_leaves_nothing(
    arguments: list[str], tmp_path: Path, is_ready: bool
) -> None:
    with serving(tmp_path, arguments, is_ready=is_ready) as server:
        async with asyncio.timeout(120):
            while not (engine := engine_processes(server)):
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)  # it is looked at ten times a second while it loads
        everything = family([server.process.pid])
        files = shared_memory(engine)
        server.process.kill()
        server.process.wait(30)
        await until_gone(everything, files)
