"""`python -m serve` as a user starts it: on loopback, awaited with its phases, and ended."""

from __future__ import annotations

import asyncio
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.child import Child, StartError, free_port

PAUSE_S = 0.5
TERMINATED = 143


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """A server that a trial starts.

    Attributes:
        model: as --model takes it.
        more: further flags.
        start_timeout_s: until it is ready, quantising and measuring included.
    """

    model: str
    engine: str
    scheme: str
    data_dir: Path
    logs: Path
    more: Sequence[str] = ()
    start_timeout_s: float = 3600.0

    @property
    def log(self) -> Path:
        return self.logs / f"trial-{self.engine}-{self.scheme}.log"

    def command(self, port: int) -> list[str]:
        """The command that starts it. Keys are off: it listens on loopback only."""
        named = {
            "model": self.model,
            "engine": self.engine,
            "quant": self.scheme,
            "data-dir": str(self.data_dir),
            "port": str(port),
            "host": "127.0.0.1",
        }
        flags = [word for name, value in named.items() for word in (f"--{name}", value)]
        return [sys.executable, "-m", "serve", *flags, *self.more]


@dataclass(frozen=True, slots=True)
class Up:
    """A server that is ready, and the seconds that it took."""

    url: str
    start_s: float


@contextmanager
def started(options: ServerOptions, on_phase: Callable[[str], None]) -> Iterator[Up]:
    """The server while it is needed. Afterwards it has ended, with all its processes, also where
    this process is told to end (SIGTERM). For the main thread.

    Args:
        told: the phase that the start is in, whenever it changes.

    Raises:
        StartError: it ended, or was not ready in time.
    """
    port = free_port()
    began_at = time.monotonic()
    child = Child(options.command(port), options.log)
    url = f"http://127.0.0.1:{port}"
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        _wait(child, url, began_at + options.start_timeout_s, on_phase)
        yield Up(url, time.monotonic() - began_at)
    finally:
        signal.signal(signal.SIGTERM, before)
        asyncio.run(child.close())


def _wait(child: Child, url: str, deadline: float, on_phase: Callable[[str], None]) -> None:
    phase = ""
    with httpx.Client(base_url=url, timeout=5, verify=False, trust_env=False) as client:  # noqa: S501
        while child.is_running and time.monotonic() < deadline:
            try:
                state = client.get("/startupz").json()
            except (httpx.HTTPError, ValueError):
                state = {}
            if state.get("status") == "started":
                return
            running = [
                phase_state["name"]
                for phase_state in state.get("phases", ())
                if not phase_state["is_finished"]
            ]
            if running and running[-1] != phase:
                phase = running[-1]
                on_phase(phase)
            time.sleep(PAUSE_S)
    why = "was not ready in time" if child.is_running else f"ended ({child.process.poll()})"
    raise StartError(f"the server {why}: {_reason(child.log_end())}")


def _reason(words: str) -> str:
    """The last lines that are for people; log lines are not."""
    lines = [line for line in words.splitlines() if line.strip() and not line.startswith("{")]
    return " ".join(line.strip() for line in lines[-6:]) or words[-300:]


def flags(text: str) -> list[str]:
    """Further flags as they would be typed.

    Raises:
        ValueError: an open quotation.
    """
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ValueError(f"--serve {text!r}: {error}") from None
