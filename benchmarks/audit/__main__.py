"""`python -m benchmarks.audit`: tokens per second with and without the audit log, side by side.

One process answers, with a door for each way of recording (``doors.py``): model, engine and code
are the same. In each round every door gets the same load in turn, in another order each time, and
is compared with the one that records nothing in the same round. Several starts show whether it
depends on how a process came to lie in memory. The last line of stdout is the report as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.audit.ways import NOTHING, WAYS
from benchmarks.child import Child
from benchmarks.overload.asking import Outcome, Question, ask
from models.memory.host_memory import read_text
from serve.engine.vllm.processes import family
from serve.governance.identity import keys

START_S = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One way in one round.

    Attributes:
        cpu_us: processor time of the server's process and its children, for a token.
    """

    tokens_per_s: float
    cpu_us: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=__doc__)
    parser.add_argument("--model", default="demo", help="(default: %(default)s)")
    parser.add_argument("--engine", default="transformers", help="(default: %(default)s)")
    parser.add_argument("--pace", type=float, default=None, help="tokens/s of a fake stream")
    parser.add_argument("--streams", type=int, default=64, help="(default: %(default)s)")
    parser.add_argument(
        "--answers", type=int, default=2, help="of each stream, in a round (default: 2)"
    )
    parser.add_argument("--max-tokens", type=int, default=128, help="of an answer")
    parser.add_argument("--starts", type=int, default=5, help="of the process (default: 5)")
    parser.add_argument("--rounds", type=int, default=16, help="of each start (default: 16)")
    parser.add_argument("--ways", nargs="+", choices=tuple(WAYS), default=list(WAYS)[:3])
    parser.add_argument("--folder", type=Path, default=None, help="of the logs: another disk")
    options = parser.parse_args()
    print(json.dumps(asyncio.run(_measure(options))))


async def _measure(options: argparse.Namespace) -> dict[str, Any]:
    ways = list(dict.fromkeys([NOTHING, *options.ways]))
    starts: list[dict[str, list[Measured]]] = []
    for _ in range(options.starts):
        starts.append({way: [] for way in ways})
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            await _measure_start(options, Path(name), ways, starts[-1])
    whole = {way: [each for start in starts for each in start[way]] for way in ways}
    return {
        "settings": {name: str(value) for name, value in vars(options).items()},
        "figures": {way: _figures(whole, way) for way in ways},
        "speed_ratio_of_starts": {
            way: [_figures(start, way)["speed_ratio"] for start in starts] for way in ways
        },
    }


async def _measure_start(
    options: argparse.Namespace,
    folder: Path,
    ways: Sequence[str],
    rounds: Mapping[str, list[Measured]],
) -> None:
    """Start the process, and add what each door does in each round."""
    token = keys.create(folder / "keys.json", name="measured")
    async with _doors(options, folder, ways) as (child, urls):
        for way in ways:
            await _load(options, child, urls[way], token, answers=1)  # it is warm
        for number in range(options.rounds):
            for way in random.Random(number).sample(ways, len(ways)):
                found = await _load(options, child, urls[way], token, answers=options.answers)
                rounds[way].append(found)
                print(f"{way}: {found.tokens_per_s:,.0f} tokens/s, {found.cpu_us:,.0f} us/token",
                      flush=True)  # fmt: skip


def _figures(rounds: Mapping[str, Sequence[Measured]], way: str) -> dict[str, float]:
    """Medians, and the rounds' ratios to recording nothing: their median and quartiles."""
    own, plain = rounds[way], rounds[NOTHING]
    pairs = list(zip(own, plain, strict=True))
    speeds = [a.tokens_per_s / b.tokens_per_s for a, b in pairs]
    low, middle, high = statistics.quantiles(speeds) if len(speeds) > 1 else speeds * 3
    return {
        "tokens_per_s": statistics.median(each.tokens_per_s for each in own),
        "cpu_us_per_token": statistics.median(each.cpu_us for each in own),
        "speed_ratio": middle,
        "speed_ratio_low_quartile": low,
        "speed_ratio_high_quartile": high,
        "cpu_ratio": statistics.median(a.cpu_us / b.cpu_us for a, b in pairs),
    }


async def _load(
    options: argparse.Namespace, child: Child, url: str, token: str, *, answers: int
) -> Measured:
    """Ask by one door, and measure its answers."""
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


@asynccontextmanager
async def _doors(
    options: argparse.Namespace, folder: Path, ways: Sequence[str]
) -> AsyncIterator[tuple[Child, dict[str, str]]]:
    """The process while the block lasts, and the URLs of its doors by way."""
    command = [sys.executable, "-m", "benchmarks.audit.doors", str(folder), *ways]
    command += ["--model", options.model, "--engine", options.engine]
    command += ["--streams", str(options.streams)]
    if options.pace is not None:
        command += ["--pace", str(options.pace)]
    told = folder / "doors.json"
    child = Child([*command, "--tell", str(told)], folder / "doors.log")
    try:
        until = time.monotonic() + START_S
        while not told.exists():
            if not child.is_running or time.monotonic() > until:
                raise SystemExit(f"the doors did not open:\n{child.log_end()}")
            await asyncio.sleep(0.1)
        yield child, json.loads(read_text(told))
    finally:
        await child.close()


if __name__ == "__main__":
    main()
