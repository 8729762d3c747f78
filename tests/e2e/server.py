"""A real server process on a real loopback socket, for end-to-end tests."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from models.memory.host_memory import read_text
from serve.engine.vllm.processes import Process, family

REPOSITORY = Path(__file__).parents[2]
START_TIMEOUT_S = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**extra: str) -> dict[str, str]:
    """The process environment without settings of ours, so that tests see defaults."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("INTRAMURAL_", "OPENAI_"))}
    return kept | extra


def run_serve(*arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """`python -m serve ...` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "serve", *arguments],
        cwd=REPOSITORY,
        env=environment(**extra),
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT_S,
        check=False,
    )


@dataclass
class Server:
    process: subprocess.Popen[str]
    url: str
    log: Path

    def get(self, path: str, **options: object) -> httpx.Response:
        """It is asked again and again: not to read the authorities' certificates saves 30 ms."""
        return httpx.get(self.url + path, verify=False, **options)  # type: ignore[arg-type]

    def terminate(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


@contextmanager
def serving(
    folder: Path,
    arguments: Sequence[str],
    *,
    is_ready: bool = True,
    variables: Mapping[str, str] | None = None,
    has_own_group: bool = False,
    port: int | None = None,
) -> Iterator[Server]:
    """Start `python -m serve`, wait until /readyz answers 200, and end it in any case.

    Args:
        folder: for the log.
        is_ready: False to be handed the server while it is still loading.
        variables: of the environment, beside those of the tests'.
        has_own_group: as the foreground job of a terminal has; its id is the process's.
        port: to listen on; a free one unless given.
    """
    port = free_port() if port is None else port
    log = folder / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "serve", "--port", str(port), *arguments],
            cwd=REPOSITORY,
            env=environment(**(variables or {})),
            stderr=output,
            stdout=output,
            text=True,
            process_group=0 if has_own_group else None,
        )
    scheme = "https" if "--ssl-certfile" in arguments else "http"
    server = Server(process, f"{scheme}://127.0.0.1:{port}", log)
    try:
        if is_ready:
            wait_ready(server)
        yield server
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(30)


def wait_ready(server: Server) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        try:
            if server.get("/readyz").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"the server did not become ready:\n{server.log.read_text()[-4000:]}")


def engine_processes(server: Server) -> list[Process]:
    """Those of vLLM: the core first, then its workers. Empty while none has its title."""
    titles = {
        process: read_text(Path("/proc") / str(process.pid) / "cmdline")
        for process in family([server.process.pid])
    }
    found = [process for process, title in titles.items() if title.startswith("VLLM::")]
    return sorted(found, key=lambda process: "EngineCore" not in titles[process])
