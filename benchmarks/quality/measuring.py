"""Both models through one engine, one after the other: everything the report holds.

Never both in memory at once: the base's whole distributions wait in a file (``forcing.py``). On
the transformers engine agreement is over whole distributions. vLLM gives none, so there it is the
greedy next token alone: after each difference the quantised model goes on from the base's tokens.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.engine import running
from benchmarks.quality import forcing, greedy, sequences, tensors
from benchmarks.quality.agreement import by_source, by_source_of_tokens
from benchmarks.quality.formulas import bits_per_weight
from benchmarks.quality.report import Agreement, Making, Report, Side
from benchmarks.quality.sequences import Forced, Score
from models.errors import ManifestError
from models.progress import Progress
from models.refs import Artifact
from models.trust.manifest import Manifest
from serve.engine.protocol import Engine
from serve.engine.registry import build
from serve.engine.settings import EngineSettings, VllmSettings
from serve.engine.transformers_engine import TransformersEngine
from serve.pipeline.render import Renderer

_SPEED_TOKENS = 32
_CONTEXT = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to measure.

    Attributes:
        engine: ``transformers`` or ``vllm``.
        items: the evaluation's questions; empty for none.
        texts: names and contents of texts.
        window: tokens of a text's window, both halves.
        max_tokens: most scored tokens of each source.
        streams: for the speed; empty for none.
        making: how the quantised model was made, where that is known.
    """

    engine: str
    items: Sequence[Mapping[str, Any]]
    texts: Sequence[tuple[str, str]]
    window: int
    max_tokens: int
    streams: Sequence[int]
    making: Making | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The report, still without a judgement, and what only the plot needs."""

    report: Report
    kl: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Half:
    """What was learned of one model."""

    load_s: float
    resident_weight_bytes: int
    speed: Mapping[str, Mapping[str, float]]
    evaluation: Score | None


async def measure(base: Artifact, quantised: Artifact, wish: Wish, progress: Progress) -> Measured:
    """Everything, in some minutes.

    Raises:
        ValueError: the two do not fit together, or there is nothing to measure on.
        StartupError: the engine cannot run one of them.
        OSError: no room for the base's distributions in the temporary folder.
    """
    renderer = Renderer.load(base.path)
    asked = await sequences.prompts(renderer, wish.items) if wish.items else []
    with tempfile.TemporaryDirectory(prefix="intramural-quality-") as scratch:
        async with _engine(base, wish, progress, "base") as (engine, load_s):
            progress.phase("answers")
            forced, answered = await _questions(engine, renderer, asked, wish)
            kept = None
            if isinstance(engine, TransformersEngine):
                _begin(progress, "distributions", engine, forced)
                kept = await asyncio.to_thread(
                    forcing.spill, engine, forced, Path(scratch) / "logits", progress.advance
                )
            progress.phase("speed-base")
            score = _score(engine, renderer, answered, wish)
            base_half = await _half(engine, load_s, wish, score)
        async with _engine(quantised, wish, progress, "quantised") as (engine, load_s):
            agreement: dict[str, Agreement]
            kl: list[float] = []
            if isinstance(engine, TransformersEngine) and kept is not None:
                _begin(progress, "compare", engine, forced)
                rows = await asyncio.to_thread(
                    forcing.compared, engine, forced, kept, progress.advance
                )
                agreement, kl = by_source(forced, rows), rows.kl.tolist()
            else:
                progress.phase("compare")
                agreement = by_source_of_tokens(forced, await greedy.differences(engine, forced))
            answered = await sequences.answers(engine, asked)
            progress.phase("speed-quantised")
            score = _score(engine, renderer, answered, wish)
            half = await _half(engine, load_s, wish, score)
    progress.phase("weights")
    found = await asyncio.to_thread(lambda: list(tensors.errors(base.path, quantised.path)))
    count = await asyncio.to_thread(tensors.num_weights, base.path)
    return Measured(
        report=Report(
            engine=wish.engine,
            machine=machine(),
            base=_side(base, base_half, count),
            quantised=_side(quantised, half, count),
            making=wish.making,
            agreement=agreement,
            tensors=tuple(sorted(found, key=lambda each: -each.relative_mse)),
            failed=(),
        ),
        kl=kl,
    )


def machine() -> str:
    """Cores, threads and load: speeds mean nothing without them."""
    load = os.getloadavg()[1]
    return f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, load {load:.1f}"


async def _questions(
    engine: Engine, renderer: Renderer, asked: Sequence[Sequence[int]], wish: Wish
) -> tuple[list[Forced], list[tuple[int, ...]]]:
    """The sequences to score, and the base's answers to the evaluation.

    Raises:
        ValueError: there are none.
    """
    answered = await sequences.answers(engine, asked)
    found = sequences.limited(
        [
            Forced(source="evaluation", given=tuple(prompt), scored=answer)
            for prompt, answer in zip(asked, answered, strict=True)
        ],
        wish.max_tokens,
    )
    window = min(wish.window, engine.info.max_model_len)
    for name, text in wish.texts:
        tokens = renderer.tokenizer.encode(text, add_special_tokens=False)
        cut = sequences.windows(tokens, source=name, window=window)
        cut = sequences.limited(cut, wish.max_tokens)
        # vLLM tells no probabilities of a text, so there its own continuation stands for it.
        is_whole = isinstance(engine, TransformersEngine)
        found += cut if is_whole else await greedy.continued(engine, cut)
    if not found:
        raise ValueError("nothing to measure on: give --text FILE, or a model with a chat template")
    return found, answered


def _score(
    engine: Engine, renderer: Renderer, answered: Sequence[Sequence[int]], wish: Wish
) -> Score | None:
    return sequences.score(renderer, engine, wish.items, answered) if answered else None


async def _half(
    engine: Engine,
    load_s: float,
    wish: Wish,
    evaluation: Score | None,
) -> _Half:
    speed = {}
    if wish.streams:
        await running.speed(engine, 1, 8, 1)  # warm-up
        for streams in wish.streams:
            speed[str(streams)] = await running.speed(engine, streams, _SPEED_TOKENS, 2)
    return _Half(
        load_s=load_s,
        resident_weight_bytes=engine.info.weight_bytes,
        speed=speed,
        evaluation=evaluation,
    )


@asynccontextmanager
async def _engine(
    artifact: Artifact, wish: Wish, progress: Progress, role: str
) -> AsyncIterator[tuple[Engine, float]]:
    """An engine of this model, and the seconds that it took to be ready; closed at the end."""
    progress.phase(f"load-{role}")
    settings = EngineSettings(
        max_num_seqs=max((*wish.streams, 32)),
        max_model_len=_context(artifact, wish),
        vllm=VllmSettings(enforce_eager=True) if wish.engine == "vllm" else VllmSettings(),
    )
    began = time.perf_counter()
    quiet: Callable[..., None] = lambda *_: None  # noqa: E731 - the protocol has positions only
    engine = await asyncio.to_thread(build, wish.engine, artifact.path, settings, quiet)
    try:
        yield engine, time.perf_counter() - began
    finally:
        await engine.close()
        del engine
        gc.collect()  # the model holds cycles, and the next one needs its memory


def _context(artifact: Artifact, wish: Wish) -> int:
    """Tokens of context: the model's own, at most enough for what is asked here."""
    config = json.loads((artifact.path / "config.json").read_bytes())
    text = config.get("text_config") or config
    own = text.get("max_position_embeddings")
    wanted = max(_CONTEXT, wish.window)
    return min(own, wanted) if isinstance(own, int) else wanted


def _begin(progress: Progress, phase: str, engine: Engine, forced: Sequence[Forced]) -> None:
    """A phase that counts the bytes of distributions."""
    tokens = sum(len(sequence.scored) for sequence in forced)
    progress.phase(phase, tokens * engine.info.vocab_size * forcing.LOGIT_BYTES)


def _side(artifact: Artifact, half: _Half, num_weights: int) -> Side:
    num_bytes = tensors.num_bytes(artifact.path)
    try:
        digest = Manifest.read(artifact.path).digest
    except ManifestError:  # none, or not one of ours
        digest = None
    return Side(
        name=artifact.name,
        digest=digest,
        scheme=str(artifact.scheme),
        weight_file_bytes=num_bytes,
        resident_weight_bytes=half.resident_weight_bytes,
        bits_per_weight=bits_per_weight(num_bytes, num_weights),
        load_s=half.load_s,
        speed=half.speed,
        evaluation=half.evaluation,
    )
