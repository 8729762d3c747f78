"""The number of streams that the API layer and the load generator hold: no model computes.

    python -m benchmarks.serving.hold [--streams 1000] [--rate 20] [--seconds 300] [--pin]

Starts a server with the fake engine at a steady pace, opens the streams over one second and reads
each to its end. Says how many were dropped (ended without finish reason and [DONE]), the times
between a stream's chunks, the server's CPU time per token, and whether the client kept up. With
--pin server and client have a core each; else they share the machine.

The last line of stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import repeat
from pathlib import Path

import numpy as np
import uvloop

from benchmarks.child import Child, free_port, wait_ready
from benchmarks.metrics.load import Load
from benchmarks.serving import load
from benchmarks.serving.client import Endpoint
from benchmarks.serving.datasets import PlannedRequest
from benchmarks.serving.load import Level
from benchmarks.serving.watch import ClientLoad
from benchmarks.trace import Trace

START_TIMEOUT_S = 60
RAMP_S = 1.0
SERVER_STREAMS = 4096
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. ``rate`` is in tokens per second and stream."""

    streams: int
    rate: float
    seconds: float
    is_pinned: bool = False

    @property
    def servers(self) -> int:
        return -(-self.streams // SERVER_STREAMS)

    @property
    def max_tokens(self) -> int:
        return max(1, round(self.rate * self.seconds))


@contextmanager
def server(plan: Plan) -> Iterator[tuple[int, int]]:
    """A server with the fake engine for all streams of the plan; its port and pid."""
    port = free_port()
    command = [sys.executable, "-m", "serve", "--model", "demo", "--engine", "fake"]
    command += ["--port", str(port), "--log-level", "error", "--shutdown-timeout", "0"]
    command += ["--fake-tokens-per-s", str(plan.rate), "--max-num-seqs", str(plan.streams)]
    command += ["--max-num-batched-tokens", str(plan.streams)]
    command += ["--max-model-len", str(plan.max_tokens + 64)]
    with tempfile.TemporaryDirectory() as folder:
        child = Child(command, Path(folder) / "server.log")
        try:
            ready = wait_ready(child, f"http://127.0.0.1:{port}/readyz", timeout_s=START_TIMEOUT_S)
            asyncio.run(ready)
            yield port, child.process.pid
        finally:
            asyncio.run(child.close())


@contextmanager
def pinned(pids: Sequence[int], *, is_wanted: bool) -> Iterator[None]:
    """These processes on the first core, this one on the last."""
    own = os.sched_getaffinity(0)
    if is_wanted:
        for pid in pids:
            _pin(pid, {min(own)})
        _pin(os.getpid(), {max(own)})
    try:
        yield
    finally:
        _pin(os.getpid(), own)


def _pin(pid: int, cores: set[int]) -> None:
    """All threads of a process."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)


def cpu_s(pid: int) -> float:
    """User and system time of a process so far, in seconds (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


async def _load(
    ports: Sequence[int], shares: Sequence[int], body: dict[str, object]
) -> list[tuple[list[Trace], ClientLoad]]:
    """All servers' streams at once, in this process."""
    load.check_files(sum(shares))
    return await asyncio.gather(
        *(
            load.run(
                Endpoint.parse(f"http://127.0.0.1:{port}"),
                Level(count=share, rate=share / RAMP_S, pattern="constant"),
                repeat(PlannedRequest(body)),
            )
            for port, share in zip(ports, shares, strict=True)
        )
    )


def run(plan: Plan) -> dict[str, object]:
    body = {
        "model": "demo",
        "messages": [{"role": "user", "content": "Count."}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": plan.max_tokens,
        "ignore_eos": True,
    }
    # One server holds 4,096 sequences at most; more streams need more servers.
    shares = [len(range(at, plan.streams, plan.servers)) for at in range(plan.servers)]
    with ExitStack() as stack:
        started = [stack.enter_context(server(replace(plan, streams=share))) for share in shares]
        pids = [pid for _, pid in started]
        stack.enter_context(pinned(pids, is_wanted=plan.is_pinned))
        server_before, own_before = sum(map(cpu_s, pids)), time.process_time()
        began = time.monotonic()
        results = uvloop.run(_load([port for port, _ in started], shares, body))
        took_s = time.monotonic() - began
        server_s = sum(map(cpu_s, pids)) - server_before
        own_s = time.process_time() - own_before
    traces = [trace for server_traces, _ in results for trace in server_traces]
    client = max((client for _, client in results), key=lambda client: client.lag_ms_p99)
    if not any(trace.arrivals_at for trace in traces):
        raise SystemExit(f"no stream brought anything: {traces[0].error}")
    tokens = sum(trace.completion_tokens for trace in traces)
    seen_load = Load(traces)
    gaps_ms = np.concatenate([np.diff(trace.arrivals_at) for trace in traces]) * 1e3
    return {
        "streams": plan.streams,
        "servers": plan.servers,
        "seconds": round(took_s, 1),
        "dropped": sum(trace.error is not None for trace in traces),
        "errors": sorted({trace.error for trace in traces if trace.error})[:3],
        "tokens": tokens,
        "tokens_s": round(tokens / took_s),
        "chunks": sum(len(trace.arrivals_at) for trace in traces),
        "gap_ms": {f"p{q}": round(float(np.percentile(gaps_ms, q)), 1) for q in (50, 99)}
        | {"max": round(float(gaps_ms.max()), 1)},
        "ttft_ms": {
            name: round(value, 1) for name, value in seen_load.percentiles_ms("ttft").items()
        },
        "server_cpu_us_per_token": round(server_s / tokens * 1e6, 1),
        "client_cpu_us_per_token": round(own_s / tokens * 1e6, 1),
        "server_cores": round(server_s / took_s, 2),
        "client": {name: round(value, 3) for name, value in asdict(client).items()}
        | {"is_bottleneck": client.is_bottleneck},
    }


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving.hold", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=20.0, help="tokens per second and stream")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--pin", action="store_true", help="a core each for server and client")
    arguments = parser.parse_args(argv)
    plan = Plan(arguments.streams, arguments.rate, arguments.seconds, arguments.pin)
    figures = run(plan)
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):>24}  {value}")
    print(json.dumps(figures))
    return 0 if figures["dropped"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
