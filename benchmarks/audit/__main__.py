"""`python -m benchmarks.audit`: tokens per second with and without the audit log, side by side.

A server for each way of recording is started, several times: two starts of one server differ by
more than what is looked for. In each round every one of them answers the same load in turn, in
another order each time, and is compared with the one that records nothing in the same round. Where
others use the machine, look at the processor time for a token: it is the servers' own. The last
line of stdout is the report as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.compare.processes import Child
from benchmarks.overload.asking import Outcome, Question, ask
from models.memory.host_memory import read_text
from serve.engine.vllm.processes import family
from serve.governance.identity import keys

WAYS: Mapping[str, tuple[str, ...]] = {
    "nothing": (),
    "metadata": ("--audit-level", "metadata"),
    "strict": ("--audit-level", "metadata", "--audit-strict"),
    "hashed": ("--audit-level", "hashed"),
    "full": ("--audit-level", "full"),
    "full-strict": ("--audit-level", "full", "--audit-strict"),
}
START_S = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One way in one round.

    Attributes:
        cpu_us: processor time of the server and its children, for a token.
    """

    tokens_per_s: float
    cpu_us: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=__doc__)
    parser.add_argument("--model", default="demo", help="(default: %(default)s)")
    parser.add_argument("--engine", default="transformers", help="(default: %(default)s)")
    parser.add_argument("--pace", type=float, default=None, help="tokens/s of a fake stream")
    parser.add_argument("--streams", type=int, default=64, help="(default: %(default)s)")
    parser.add_argument("--answers", type=int, default=4, help="of each stream, in a round")
    parser.add_argument("--max-tokens", type=int, default=128, help="of an answer")
    parser.add_argument(
        "--starts", type=int, default=5, help="of all servers: one differs from the next (5)"
    )
    parser.add_argument("--rounds", type=int, default=1, help="of each start (default: 1)")
    parser.add_argument("--ways", nargs="+", choices=tuple(WAYS), default=list(WAYS)[:3])
    parser.add_argument("--folder", type=Path, default=None, help="of the logs: another disk")
    options = parser.parse_args()
    print(json.dumps(asyncio.run(_measure(options))))


async def _measure(options: argparse.Namespace) -> dict[str, Any]:
    ways = list(dict.fromkeys(["nothing", *options.ways]))
    rounds: dict[str, list[Measured]] = {way: [] for way in ways}
    for start in range(options.starts):
        turn = start % len(ways)
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            await _measure_servers(options, Path(name), [*ways[turn:], *ways[:turn]], rounds)
    settings = {name: str(value) for name, value in vars(options).items()}
    return {"settings": settings, "figures": {way: _figures(rounds, way) for way in ways}}


async def _measure_servers(
    options: argparse.Namespace,
    folder: Path,
    ways: Sequence[str],
    rounds: Mapping[str, list[Measured]],
) -> None:
    """Start a server for each way, and add what each does in each round."""
    token = keys.create(folder / "keys.json", name="measured")
    (folder / "content.key").write_text(secrets.token_hex(32))
    (folder / "content.key").chmod(0o600)
    servers: dict[str, tuple[Child, str]] = {}
    try:
        for way in ways:
            servers[way] = await _started(options, folder, way)
            await _load(options, servers[way], token, answers=1)  # it is warm
        for number in range(options.rounds):
            turn = number % len(ways)
            for way in [*ways[turn:], *ways[:turn]]:
                found = await _load(options, servers[way], token, answers=options.answers)
                rounds[way].append(found)
                print(f"{way}: {found.tokens_per_s:,.0f} tokens/s, {found.cpu_us:,.0f} us/token",
                      flush=True)  # fmt: skip
    finally:
        for server, _ in servers.values():
            await server.close()


def _figures(rounds: Mapping[str, Sequence[Measured]], way: str) -> dict[str, float]:
    """Medians, and the median of the rounds' ratios to recording nothing."""
    own, plain = rounds[way], rounds["nothing"]
    pairs = list(zip(own, plain, strict=True))
    return {
        "tokens_per_s": statistics.median(each.tokens_per_s for each in own),
        "cpu_us_per_token": statistics.median(each.cpu_us for each in own),
        "speed_ratio": statistics.median(a.tokens_per_s / b.tokens_per_s for a, b in pairs),
        "cpu_ratio": statistics.median(a.cpu_us / b.cpu_us for a, b in pairs),
    }


async def _load(
    options: argparse.Namespace, server: tuple[Child, str], token: str, *, answers: int
) -> Measured:
    child, url = server
    question = Question(url=url, key=token, max_tokens=options.max_tokens)
    cpu_s, began_at = _cpu_s(child), time.monotonic()
    ends = await asyncio.gather(*(_stream(question, answers) for _ in range(options.streams)))
    outcomes = [outcome for stream in ends for outcome in stream]
    if failed := [outcome for outcome in outcomes if not outcome.is_whole]:
        raise SystemExit(f"{len(failed)} answers failed, such as {failed[0]}:\n{child.log_end()}")
    num_tokens = len(outcomes) * options.max_tokens
    return Measured(
        tokens_per_s=num_tokens / (time.monotonic() - began_at),
        cpu_us=(_cpu_s(child) - cpu_s) / num_tokens * 1e6,
    )


async def _stream(question: Question, answers: int) -> list[Outcome]:
    """Ask one question after another."""
    return [await ask(question) for _ in range(answers)]


def _cpu_s(child: Child) -> float:
    """Seconds of processor time that the process and its children have used."""
    ticks = 0
    for process in family([child.process.pid]):
        fields = read_text(Path("/proc") / str(process.pid) / "stat").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12]) if len(fields) > 12 else 0
    return ticks / os.sysconf("SC_CLK_TCK")


async def _started(options: argparse.Namespace, folder: Path, way: str) -> tuple[Child, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["--model", options.model, "--engine", options.engine]
    arguments += ["--served-model-name", "measured", "--port", str(port)]
    arguments += ["--max-num-seqs", str(options.streams)]
    arguments += ["--api-key-file", str(folder / "keys.json"), "--state-dir", str(folder / way)]
    if options.pace is not None:
        arguments += ["--fake-tokens-per-s", str(options.pace)]
    if WAYS[way]:
        arguments += ["--audit-dir", str(folder / f"audit-{way}"), *WAYS[way]]
    if way.startswith(("hashed", "full")):
        arguments += ["--audit-content-key-file", str(folder / "content.key")]
    command = [sys.executable, "-m", "serve", *arguments]
    server = Child(command, folder / f"{way}.log")
    url = f"http://127.0.0.1:{port}"
    until = time.monotonic() + START_S
    async with httpx.AsyncClient() as client:
        while time.monotonic() < until and server.is_running:
            try:
                if (await client.get(f"{url}/readyz")).status_code == httpx.codes.OK:
                    return server, url
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.2)
    end = server.log_end()
    await server.close()
    raise SystemExit(f"the server did not start:\n{end}")


if __name__ == "__main__":
    main()
