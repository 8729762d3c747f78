"""`python -m benchmarks.lookup FOLDER`: edits and chats with prompt lookup and without, in turn.

Each round answers every prompt in both ways, in turns of the order; the answers must be the same.
The ratio is that of tokens per second from the first token to the last: over 1 where guesses pay.
The last line of stdout is the report as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.lookup.prompts import CHATS, EDITS
from serve.engine.protocol import EngineRequest, SamplingParams
from serve.engine.settings import DEFAULT_GUESSES, EngineSettings
from serve.engine.transformers.engine import TransformersEngine
from serve.environment import harden_environment
from serve.errors import ServeError
from serve.pipeline.render import Renderer

WAYS = ("plain", "lookup")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lookup", description=__doc__)
    parser.add_argument("model", type=Path, help="a model folder, read by the transformers engine")
    parser.add_argument("--rounds", type=int, default=5, help="that count (default: %(default)s)")
    parser.add_argument("--tokens", type=int, default=200, help="of a chat (default: %(default)s)")
    parser.add_argument("--temperature", type=float, default=0.0, help="(default: %(default)s)")
    parser.add_argument("--streams", type=int, default=1, help="at once (default: %(default)s)")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="seconds of the processor, where the machine has other work; with OMP_NUM_THREADS=1",
    )
    parser.add_argument("--dtype", default="auto", help="of the weights (default: %(default)s)")
    options = parser.parse_args()
    harden_environment()
    try:
        print(json.dumps(asyncio.run(_measure(options))))
    except ServeError as error:
        parser.exit(1, f"{error}\n")


async def _measure(options: argparse.Namespace) -> dict[str, Any]:
    settings = EngineSettings(max_model_len=2048, max_num_seqs=8, dtype=options.dtype)
    engine = TransformersEngine.from_folder(options.model, settings, lambda *_: None)
    renderer = Renderer.load(options.model)
    if renderer.template is None:
        raise SystemExit(f"{options.model.name} has no chat template")
    report: dict[str, Any] = {"model": options.model.name, "rounds": options.rounds}
    for kind, prompts, most in (("edit", EDITS, 1000), ("chat", CHATS, options.tokens)):
        for name, text in prompts.items():
            messages = [{"role": "user", "content": text}]
            prompt = renderer.tokenizer.encode_rendered(renderer.template.render(messages, []))
            row = await _both(engine, prompt, most, options)
            report[f"{kind} {name}"] = row
            print(f"{kind} {name}: {row}", flush=True)
    for kind in ("edit", "chat"):
        ratios = [row["ratio"] for key, row in report.items() if key.startswith(kind)]
        report[f"{kind}_ratio"] = round(statistics.median(ratios), 3)
    await engine.close()
    return report


async def _both(
    engine: TransformersEngine, prompt: Sequence[int], most: int, options: argparse.Namespace
) -> dict[str, Any]:
    clock = time.process_time if options.cpu_time else time.perf_counter
    params = SamplingParams(max_tokens=most, temperature=options.temperature, seed=7)
    paces: dict[str, list[float]] = {way: [] for way in WAYS}
    answers: dict[str, list[int]] = {}
    guessed: Mapping[str, int] = {}
    await _run(engine, prompt, replace(params, max_tokens=4), clock)
    for index in range(options.rounds):
        for way in WAYS if index % 2 else reversed(WAYS):
            engine.guess_tokens(most=DEFAULT_GUESSES if way == "lookup" else 0)
            before = engine.load()
            runs = [_run(engine, prompt, params, clock) for _ in range(options.streams)]
            told = await asyncio.gather(*runs)
            after = engine.load()
            answers[way] = told[0][0]
            if way == "lookup":
                guessed = {
                    "guessed": after.num_draft_tokens - before.num_draft_tokens,
                    "right": after.num_accepted_tokens - before.num_accepted_tokens,
                }
            num_tokens = sum(len(token_ids) - 1 for token_ids, _ in told)
            paces[way].append(num_tokens / max(seconds for _, seconds in told))
        if answers["plain"] != answers["lookup"]:
            raise RuntimeError("the answers differ")
    pairs = zip(paces["lookup"], paces["plain"], strict=True)
    return {
        "prompt_tokens": len(prompt),
        "num_tokens": len(answers["plain"]),
        **guessed,
        "tokens_per_s": {way: round(statistics.median(paces[way]), 2) for way in WAYS},
        "ratio": round(statistics.median(lookup / plain for lookup, plain in pairs), 3),
    }


async def _run(
    engine: TransformersEngine,
    prompt: Sequence[int],
    params: SamplingParams,
    clock: Callable[[], float],
) -> tuple[list[int], float]:
    """The tokens, and seconds from the first one to the last."""
    token_ids: list[int] = []
    begun_at = 0.0
    request = EngineRequest(
        request_id=f"{time.monotonic_ns()}", prompt_token_ids=prompt, sampling=params
    )
    async with aclosing(engine.stream(request)) as chunks:
        async for chunk in chunks:
            begun_at = begun_at or clock()
            token_ids += chunk.token_ids
    return token_ids, clock() - begun_at


if __name__ == "__main__":
    main()
