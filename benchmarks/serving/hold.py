"""How many streams the API layer holds: the fake engine at a steady pace, over HTTP.

    python -m benchmarks.many_streams [--streams 1000] [--rate 20] [--seconds 300]

Starts a server with the fake engine (no model computes, so all the work is the API layer's), opens
the streams over one second and reads each to its end. Says how many were dropped (ended without
finish reason and [DONE]), the times between a stream's chunks, and the server's CPU time per token.
The load shares the machine with the server, and says what it took itself.

The last line of stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import uvloop

from benchmarks.sse_client import StreamTrace, request_bytes, stream

START_TIMEOUT_S = 60
RAMP_S = 1.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. ``rate`` is in tokens per second and stream."""

    streams: int
    rate: float
    seconds: float

    @property
    def max_tokens(self) -> int:
        return max(1, round(self.rate * self.seconds))


@contextmanager
def server(plan: Plan) -> Iterator[tuple[int, int]]:
    """A server with the fake engine; its port and pid."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "serve", "--model", "demo", "--engine", "fake"]
    command += ["--port", str(port), "--log-level", "error", "--shutdown-timeout", "0"]
    command += ["--fake-tokens-per-s", str(plan.rate), "--max-num-seqs", str(plan.streams)]
    command += ["--max-num-batched-tokens", str(plan.streams)]
    command += ["--max-model-len", str(plan.max_tokens + 64)]
    root = Path(__file__).parents[1]
    process = subprocess.Popen(  # noqa: S603 - our own server
        command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_ready(process, port)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(30)


def _wait_ready(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError("the server did not become ready")


async def load(plan: Plan, port: int) -> list[StreamTrace]:
    """All streams, to their ends; prints how far they are every ten seconds."""
    body = {
        "model": "demo",
        "messages": [{"role": "user", "content": "Count."}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": plan.max_tokens,
        "ignore_eos": True,
    }
    request = request_bytes(f"127.0.0.1:{port}", body)

    async def one(number: int) -> StreamTrace:
        await asyncio.sleep(RAMP_S * number / plan.streams)
        return await stream("127.0.0.1", port, request)

    began = time.monotonic()
    tasks = [asyncio.create_task(one(number)) for number in range(plan.streams)]
    while any(not task.done() for task in tasks):
        await asyncio.wait(tasks, timeout=10)
        over = sum(task.done() for task in tasks)
        past = time.monotonic() - began
        print(f"{past:6.0f} s: {over} of {plan.streams} streams are over", file=sys.stderr)
    return [task.result() for task in tasks]


def cpu_s(pid: int) -> float:
    """User and system time of a process so far, in seconds (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def run(plan: Plan) -> dict[str, object]:
    with server(plan) as (port, pid):
        server_before, own_before, began = cpu_s(pid), time.process_time(), time.monotonic()
        traces = uvloop.run(load(plan, port))
        if not any(trace.arrivals_at for trace in traces):
            raise SystemExit(f"no stream brought anything: {traces[0].error}")
        took_s = time.monotonic() - began
        server_s, own_s = cpu_s(pid) - server_before, time.process_time() - own_before
    tokens = sum(trace.completion_tokens for trace in traces)
    gaps_ms = np.concatenate([np.diff(trace.arrivals_at) for trace in traces]) * 1e3
    ttft_ms = np.array([trace.ttft_s for trace in traces if trace.ttft_s is not None]) * 1e3
    return {
        "streams": plan.streams,
        "seconds": round(took_s, 1),
        "dropped": sum(trace.error is not None for trace in traces),
        "errors": sorted({trace.error for trace in traces if trace.error})[:3],
        "tokens": tokens,
        "tokens_s": round(tokens / took_s),
        "chunks": sum(len(trace.arrivals_at) for trace in traces),
        "itl_ms": {f"p{q}": round(float(np.percentile(gaps_ms, q)), 1) for q in (50, 99)}
        | {"max": round(float(gaps_ms.max()), 1)},
        "ttft_ms": {f"p{q}": round(float(np.percentile(ttft_ms, q)), 1) for q in (50, 99)},
        "server_cpu_us_per_token": round(server_s / tokens * 1e6, 1),
        "client_cpu_us_per_token": round(own_s / tokens * 1e6, 1),
        "server_cores": round(server_s / took_s, 2),
        "client_cores": round(own_s / took_s, 2),
    }


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.many_streams", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=20.0, help="tokens per second and stream")
    parser.add_argument("--seconds", type=float, default=300.0)
    arguments = parser.parse_args(argv)
    plan = Plan(arguments.streams, arguments.rate, arguments.seconds)
    figures = run(plan)
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):>24}  {value}")
    print(json.dumps(figures))
    return 0 if figures["dropped"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
