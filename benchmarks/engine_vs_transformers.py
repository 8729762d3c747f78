"""Our transformers engine against transformers' own continuous batching, and plain ``generate``.

    python -m benchmarks.engine_vs_transformers MODEL_FOLDER [--concurrency 1 8] [--rounds 5]

All three run the same model in one process, in turn, round after round (A B C A B C ...), so that
whatever else the machine does hits all of them alike; compare the ratios, not the figures of two
runs. Greedy, no early end, short prompts that differ in every round. Tokens per second count
generated tokens over the wall clock from the first submission to the last token, prefill included.
``generate`` answers one request after another, so it is measured at one only.

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
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    ContinuousBatchingConfig,
    GenerationConfig,
    PreTrainedModel,
)

from serve.engine.protocol import Engine, EngineRequest, SamplingParams
from serve.engine.registry import build
from serve.engine.settings import EngineSettings

OURS, THEIRS, PLAIN = "intramural", "transformers CB", "generate"
_PAGE = 256

Prompts = Sequence[list[int]]
Run = Callable[[Prompts, int], int]


class Ours:
    """Our engine on a loop of its own; callable like the others."""

    def __init__(self, folder: Path, max_num_seqs: int) -> None:
        settings = EngineSettings(max_num_seqs=max_num_seqs, max_num_batched_tokens=512)
        self.engine: Engine = build("transformers", folder, settings, lambda *_: None)
        self._runner = asyncio.Runner()

    def __call__(self, prompts: Prompts, max_tokens: int) -> int:
        return self._runner.run(self._all(prompts, max_tokens))

    def close(self) -> None:
        self._runner.run(self.engine.close())
        self._runner.close()

    async def _all(self, prompts: Prompts, max_tokens: int) -> int:
        sampling = SamplingParams(max_tokens=max_tokens, temperature=0, ignore_eos=True)
        return sum(
            await asyncio.gather(
                *(
                    self._one(
                        EngineRequest(request_id=str(i), prompt_token_ids=p, sampling=sampling)
                    )
                    for i, p in enumerate(prompts)
                )
            )
        )

    async def _one(self, request: EngineRequest) -> int:
        num_tokens = 0
        async with aclosing(self.engine.stream(request)) as stream:
            async for chunk in stream:
                num_tokens += len(chunk.token_ids)
        return num_tokens


class Theirs:
    """transformers' continuous batching: one manager, kept running."""

    def __init__(self, folder: Path, max_num_seqs: int, max_len: int) -> None:
        self.model = _load(folder)
        pages = max_num_seqs * -(-max_len // _PAGE) + 1
        self._manager = self.model.init_continuous_batching(
            generation_config=GenerationConfig(do_sample=False, eos_token_id=-1, pad_token_id=0),
            continuous_batching_config=ContinuousBatchingConfig(
                page_size=_PAGE, num_blocks=pages, max_batch_tokens=512
            ),
        )
        self._manager.start()

    def __call__(self, prompts: Prompts, max_tokens: int) -> int:
        self._manager.add_requests(list(prompts), max_new_tokens=max_tokens)
        num_tokens = finished = 0
        while finished < len(prompts):
            result = self._manager.get_result(timeout=600)
            if result is None:
                raise RuntimeError("transformers' continuous batching gave no result")
            if result.is_finished():
                finished += 1
                num_tokens += len(result.generated_tokens)
        return num_tokens

    def close(self) -> None:
        self._manager.stop(block=True)


class Plain:
    """``model.generate``, one request after another, with transformers' own cache."""

    def __init__(self, folder: Path) -> None:
        self.model = _load(folder)

    def __call__(self, prompts: Prompts, max_tokens: int) -> int:
        num_tokens = 0
        for prompt in prompts:
            output = self.model.generate(
                torch.tensor([prompt]),
                max_new_tokens=max_tokens,
                do_sample=False,
                eos_token_id=None,
                pad_token_id=0,
            )
            num_tokens += output.shape[1] - len(prompt)
        return num_tokens

    def close(self) -> None:
        pass


def _load(folder: Path) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype="auto",
        local_files_only=True,
        use_safetensors=True,
        attn_implementation="sdpa",
    )
    return model.eval()


def measure(run: Run, prompts: Prompts, max_tokens: int) -> float:
    """Generated tokens per second."""
    started_at = time.perf_counter()
    num_tokens = run(prompts, max_tokens)
    elapsed_s = time.perf_counter() - started_at
    if num_tokens != len(prompts) * max_tokens:
        raise RuntimeError(f"{num_tokens} tokens instead of {len(prompts) * max_tokens}")
    return num_tokens / elapsed_s


def compare(args: argparse.Namespace) -> dict[str, Any]:
    """Run all rounds; medians and ratios by concurrency."""
    slots = max(args.concurrency)
    candidates: dict[str, Any] = {OURS: Ours(args.model, slots)}
    if not args.ours_only:
        candidates[THEIRS] = Theirs(args.model, slots, args.prompt_tokens + args.max_tokens)
        candidates[PLAIN] = Plain(args.model)
    vocab_size = candidates[OURS].engine.info.vocab_size
    source = random.Random(0)

    def prompts_of(count: int) -> list[list[int]]:
        return [
            [source.randrange(3, vocab_size) for _ in range(args.prompt_tokens)]
            for _ in range(count)
        ]

    results: dict[str, Any] = {}
    for concurrency in args.concurrency:
        names = [name for name in candidates if name != PLAIN or concurrency == 1]
        speeds: dict[str, list[float]] = {name: [] for name in names}
        for name in names:
            candidates[name](prompts_of(concurrency), 4)
        for _ in range(args.rounds):
            prompts = prompts_of(concurrency)
            for name in names:
                speeds[name].append(measure(candidates[name], prompts, args.max_tokens))
        medians = {name: statistics.median(values) for name, values in speeds.items()}
        results[str(concurrency)] = {
            "tokens_per_s": medians,
            # Paired by round: what disturbed one disturbed the other.
            "ratio": {
                name: statistics.median(
                    ours / other for ours, other in zip(speeds[OURS], speeds[name], strict=True)
                )
                for name in names
                if name != OURS
            },
            "rounds": speeds,
        }
        _print(concurrency, results[str(concurrency)])
    for candidate in candidates.values():
        candidate.close()
    return results


def _print(concurrency: int, result: dict[str, Any]) -> None:
    for name, speed in result["tokens_per_s"].items():
        ratio = result["ratio"].get(name)
        note = f"   ours is {ratio:.2f} times as fast" if ratio else ""
        print(f"{concurrency:>4} streams  {name:<16} {speed:>10.1f} tok/s{note}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--prompt-tokens", type=int, default=16)
    parser.add_argument("--ours-only", action="store_true", help="no comparison, only our engine")
    args = parser.parse_args()
    results = compare(args)
    settings = {
        key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()
    }
    print(
        json.dumps({"settings": settings, "threads": torch.get_num_threads(), "results": results})
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
