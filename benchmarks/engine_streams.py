"""Tokens per second of one engine, by the number of streams, without HTTP.

    python -m benchmarks.engine_streams MODEL_FOLDER --engine vllm [--streams 1 32 64]

The Engine protocol alone: no server, no text. Greedy, no early end, prompts of 16 tokens that all
differ. Tokens per second count generated tokens over the wall clock from the first submission to
the last token, prefill included; chunks per second beside them tell how finely they came, and
``ttft_ms`` is the median time from a request's submission to its first chunk.

The last line of stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

import uvloop

from serve.engine.protocol import Engine, EngineRequest, SamplingParams
from serve.engine.registry import ENGINES, build
from serve.engine.settings import EngineSettings, VllmSettings
from serve.environment import harden_environment

PROMPT_TOKENS = 16


async def one(
    engine: Engine, name: str, max_tokens: int, gate: asyncio.Semaphore
) -> tuple[int, float]:
    """Run one request to its end; returns its number of chunks, and seconds to the first one."""
    source = random.Random(name)
    request = EngineRequest(
        request_id=name,
        prompt_token_ids=[
            source.randrange(engine.info.vocab_size // 2) for _ in range(PROMPT_TOKENS)
        ],
        sampling=SamplingParams(max_tokens=max_tokens, temperature=0, ignore_eos=True),
    )
    async with gate, aclosing(engine.stream(request)) as chunks:
        submitted_at = time.perf_counter()
        arrived_at = [time.perf_counter() async for _ in chunks]
    return len(arrived_at), arrived_at[0] - submitted_at


async def measure(engine: Engine, streams: int, max_tokens: int, rounds: int) -> dict[str, float]:
    """``rounds`` requests per stream, ``streams`` at a time."""
    gate = asyncio.Semaphore(streams)
    names = [f"{streams}-{number}" for number in range(streams * rounds)]
    began = time.perf_counter()
    runs = await asyncio.gather(*(one(engine, name, max_tokens, gate) for name in names))
    took = time.perf_counter() - began
    return {
        "tokens_s": len(names) * max_tokens / took,
        "chunks_s": sum(chunks for chunks, _ in runs) / took,
        "ttft_ms": 1000 * statistics.median(first_s for _, first_s in runs),
    }


async def run(folder: Path, arguments: argparse.Namespace) -> dict[str, object]:
    is_vllm = arguments.engine == "vllm"
    vllm = VllmSettings(enforce_eager=True, enable_prefix_caching=False)
    settings = EngineSettings(
        max_num_seqs=max(arguments.streams),
        max_model_len=arguments.max_model_len,
        vllm=vllm if is_vllm else VllmSettings(),
    )
    began = time.perf_counter()
    engine = await asyncio.to_thread(build, arguments.engine, folder, settings, lambda *_: None)
    results: dict[str, object] = {"engine": arguments.engine}
    results["start_s"] = round(time.perf_counter() - began, 1)
    try:
        await measure(engine, 1, 8, 1)  # warm-up
        for streams in arguments.streams:
            figures = await measure(engine, streams, arguments.max_tokens, arguments.rounds)
            results[str(streams)] = {name: round(value) for name, value in figures.items()}
            print(
                f"{streams:>4} streams: {figures['tokens_s']:,.0f} tok/s, "
                f"first token after {figures['ttft_ms']:,.0f} ms",
                flush=True,
            )
    finally:
        await engine.close()
    return results


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine_streams")
    parser.add_argument("model", type=Path)
    parser.add_argument("--engine", choices=ENGINES, default="vllm")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 32, 64])
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--max-model-len", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=4)
    arguments = parser.parse_args(argv)
    harden_environment()
    print(json.dumps(uvloop.run(run(arguments.model, arguments))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
