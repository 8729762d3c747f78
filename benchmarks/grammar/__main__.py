"""`python -m benchmarks.grammar FOLDER`: schema-bound completions beside free ones of equal length.

Each round runs, in turn and in random order, the same prompt free, held to the schema with every
token sampled, and held to it with tokens forced. A free completion goes past its end to the length
of the schema-bound one. Then a free stream is watched beside each of the three. The last line of
stdout is the report as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import time
from collections.abc import Sequence
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.grammar import schemas
from serve.engine.grammars.grammar import Grammar
from serve.engine.protocol import Engine, EngineRequest, SamplingParams
from serve.engine.settings import EngineSettings
from serve.engine.transformers.engine import TransformersEngine
from serve.environment import harden_environment
from serve.pipeline.tokenizer import ModelTokenizer

WAYS = ("free", "sampled", "forced")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grammar", description=__doc__)
    parser.add_argument("model", type=Path, help="a model folder, read by the transformers engine")
    parser.add_argument("--rounds", type=int, default=5, help="that count (default: %(default)s)")
    parser.add_argument("--people", type=int, default=4, help="to extract (default: %(default)s)")
    parser.add_argument("--dtype", default="auto", help="of the weights (default: %(default)s)")
    options = parser.parse_args()
    harden_environment()
    print(json.dumps(asyncio.run(_measure(options))))


async def _measure(options: argparse.Namespace) -> dict[str, Any]:
    settings = EngineSettings(
        max_model_len=2048, max_num_seqs=8, dtype=options.dtype, enable_prefix_caching=False
    )
    engine = TransformersEngine.from_folder(options.model, settings, lambda *_: None)
    tokenizer = ModelTokenizer.load(options.model)
    report: dict[str, Any] = {"model": options.model.name, "rounds": options.rounds, "schemas": {}}
    for name, schema in schemas.schemas(options.people).items():
        prompt = tokenizer.encode(schemas.PROMPT, add_special_tokens=False)
        grammar = Grammar(kind="json_schema", text=json.dumps(schema), is_compact=True)
        report["schemas"][name] = row = await _alone(engine, prompt, grammar, options.rounds)
        row["neighbour"] = await _beside(engine, prompt, grammar, row["num_tokens"], options.rounds)
        print(f"{name}: {row}", flush=True)
    await engine.close()
    return report


async def _alone(
    engine: TransformersEngine, prompt: Sequence[int], grammar: Grammar, rounds: int
) -> dict[str, Any]:
    source = random.Random(0)
    engine.force_tokens(is_on=True)
    before = engine.load().num_steps
    num_tokens, _ = await _run(engine, _request(prompt, 600, grammar))
    num_steps = engine.load().num_steps - before
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for index in range(rounds + 1):
        for way in source.sample(WAYS, len(WAYS)):
            held = None if way == "free" else grammar
            limit = num_tokens if way == "free" else 600
            engine.force_tokens(is_on=way == "forced")
            came, seconds = await _run(engine, _request(prompt, limit, held))
            if came != num_tokens:
                raise RuntimeError(f"{way}: {came} tokens, and {num_tokens} were expected")
            if index:
                times[way].append(seconds)
    ratios = {
        way: statistics.median(
            held / free for held, free in zip(times[way], times["free"], strict=True)
        )
        for way in ("sampled", "forced")
    }
    return {
        "num_tokens": num_tokens,
        "share_forced": round(1 - num_steps / num_tokens, 3),
        "ms_per_token": {
            way: round(1000 * statistics.median(times[way]) / num_tokens, 2) for way in WAYS
        },
        "ratio": {way: round(ratio, 3) for way, ratio in ratios.items()},
    }


async def _beside(
    engine: TransformersEngine,
    prompt: Sequence[int],
    grammar: Grammar,
    num_tokens: int,
    rounds: int,
) -> dict[str, dict[str, float]]:
    """Gaps of a free stream, in ms, while another is answered in each of the ways."""
    source = random.Random(1)
    gaps: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in source.sample(WAYS, len(WAYS)):
            engine.force_tokens(is_on=way == "forced")
            held = None if way == "free" else grammar
            watched = asyncio.create_task(_gaps(engine, _request(prompt, num_tokens, None)))
            limit = num_tokens if way == "free" else 600
            await _run(engine, _request(prompt, limit, held))
            gaps[way] += (await watched)[2:]
    told = {}
    for way, times in gaps.items():
        times.sort()
        told[way] = {
            "median_ms": round(1000 * statistics.median(times), 2),
            "p99_ms": round(1000 * times[int(0.99 * (len(times) - 1))], 2),
        }
    return told


def _request(prompt: Sequence[int], max_tokens: int, grammar: Grammar | None) -> EngineRequest:
    return EngineRequest(
        request_id=f"{time.monotonic_ns()}",
        prompt_token_ids=prompt,
        sampling=SamplingParams(
            max_tokens=max_tokens, temperature=0.0, grammar=grammar, ignore_eos=grammar is None
        ),
    )


async def _run(engine: Engine, request: EngineRequest) -> tuple[int, float]:
    """Tokens, and seconds from the first one to the last."""
    num_tokens, begun_at = 0, 0.0
    async with aclosing(engine.stream(request)) as chunks:
        async for chunk in chunks:
            begun_at = begun_at or time.perf_counter()
            num_tokens += len(chunk.token_ids)
    return num_tokens, time.perf_counter() - begun_at


async def _gaps(engine: Engine, request: EngineRequest) -> list[float]:
    times = []
    async with aclosing(engine.stream(request)) as chunks:
        async for _ in chunks:
            times.append(time.perf_counter())  # noqa: PERF401 - as they come
    return [later - earlier for earlier, later in pairwise(times)]


if __name__ == "__main__":
    main()
