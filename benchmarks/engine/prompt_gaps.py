"""Gaps of running streams while a long prompt arrives: `python -m benchmarks.engine.prompt_gaps`.

Straight on the transformers engine, no HTTP. The last line of stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
from array import array
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import uvloop

from benchmarks.metrics.percentiles import percentiles_ms
from serve import timeline
from serve.engine.protocol import Engine, EngineRequest, SamplingParams
from serve.engine.registry import build
from serve.engine.settings import EngineSettings
from serve.errors import ServeError

_STREAM_PROMPT, _BEFORE = 100, 8
"""Tokens of a running stream's prompt, and how many it has got before the long one arrives."""


@dataclass(slots=True, eq=False)
class _Stream:
    arrivals_at: array[float] = field(default_factory=lambda: array("d"))
    is_running: asyncio.Event = field(default_factory=asyncio.Event)


async def measure(
    engine: Engine, *, streams: int, prompt_tokens: int, name: str
) -> dict[str, float]:
    """Figures in milliseconds of one arrival, which begins when every stream is decoding.

    Args:
        engine: up, with no other requests.
        streams: that decode meanwhile.
        prompt_tokens: of the prompt that arrives.
        name: of this run alone; prompts differ by it.
    """
    running = [_Stream() for _ in range(streams)]
    max_tokens = engine.info.max_model_len - _STREAM_PROMPT
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(
                _follow(engine, f"{name}-{number}", _STREAM_PROMPT, max_tokens, stream)
            )
            for number, stream in enumerate(running)
        ]
        for stream in running:
            await stream.is_running.wait()
        sent_at = timeline.now()
        arriving = _Stream()
        await _follow(engine, f"{name}-long", prompt_tokens, 1, arriving)
        ended_at = arriving.arrivals_at[0]
        for task in tasks:
            task.cancel()
    gaps = [gap for stream in running for gap in _gaps(stream.arrivals_at, sent_at, ended_at)]
    figures = percentiles_ms(gaps)
    return {
        "itl_ms_p50": figures["p50"],
        "itl_ms_p99": figures["p99"],
        "itl_ms_max": 1e3 * max(gaps),
        "ttft_ms": 1e3 * (ended_at - sent_at),
    }


async def _follow(engine: Engine, name: str, size: int, max_tokens: int, stream: _Stream) -> None:
    source = random.Random(name)
    prompt = [source.randrange(engine.info.vocab_size // 2) for _ in range(size)]
    sampling = SamplingParams(max_tokens=max_tokens, temperature=0, ignore_eos=True)
    request = EngineRequest(request_id=name, prompt_token_ids=prompt, sampling=sampling)
    async with aclosing(engine.stream(request)) as chunks:
        async for _ in chunks:
            stream.arrivals_at.append(timeline.now())
            if len(stream.arrivals_at) == _BEFORE:
                stream.is_running.set()


def _gaps(arrivals_at: Sequence[float], start_at: float, end_at: float) -> list[float]:
    """Gaps that end after the long prompt came, and begin before it was answered."""
    return [
        later - earlier
        for earlier, later in pairwise(arrivals_at)
        if later > start_at and earlier < end_at
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure some rounds, and print the median of each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a model's")
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=4000, help="tokens")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-num-batched-tokens", type=int, help="a plain bound; default: auto")
    options = parser.parse_args(arguments)
    try:
        rounds = uvloop.run(_rounds(options))
    except ServeError as error:
        parser.exit(1, f"{error}\n")
    figures = {
        name: round(statistics.median(each[name] for each in rounds), 1) for name in rounds[0]
    }
    load = os.getloadavg()[0]
    sys.stdout.write(json.dumps({**figures, "rounds": rounds, "load": round(load, 1)}) + "\n")
    return 0


async def _rounds(options: argparse.Namespace) -> list[dict[str, float]]:
    room = _STREAM_PROMPT + options.prompt + 1024
    settings = EngineSettings(
        device="cpu",
        max_num_seqs=options.streams + 1,
        max_num_batched_tokens=options.max_num_batched_tokens,
        max_model_len=room,
        max_hold_s=0.0,
    )
    engine = await asyncio.to_thread(
        build, "transformers", options.folder, settings, lambda *_: None
    )
    try:
        return [
            await measure(
                engine, streams=options.streams, prompt_tokens=options.prompt, name=str(number)
            )
            for number in range(options.rounds)
        ]
    finally:
        await engine.close()


if __name__ == "__main__":
    sys.exit(main())
