"""A base and what was made of it, through one kind of engine: everything the reports hold.

The base stays loaded; beside it as many of the quantised models as the free memory holds, one at
least. How their distributions are compared, ``comparing.py`` says.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.engine import running as speeds
from benchmarks.quality import comparing, forcing, sequences, tensors, vllm_forcing
from benchmarks.quality.agreement import by_source
from benchmarks.quality.comparing import Running
from benchmarks.quality.formulas import Rows, bits_per_weight
from benchmarks.quality.report import Making, Report, Side
from benchmarks.quality.sequences import Forced, Score
from benchmarks.quality.tensors import TensorError
from models.errors import ManifestError
from models.memory.host_memory import available_bytes
from models.progress import Progress
from models.refs import Artifact
from models.trust.manifest import Manifest
from serve.engine.protocol import Engine
from serve.engine.registry import build
from serve.engine.settings import EngineSettings, VllmSettings
from serve.pipeline.render import Renderer

_SPEED_TOKENS = 32
_SPEED_CONTEXT = 64
_LOGIT_BYTES = 4
_BESIDE_BYTES = 1 << 30
"""What an engine takes beside its weights: code, KV cache, scratch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to measure.

    Attributes:
        engine: ``transformers`` or ``vllm``.
        items: the evaluation's questions; empty for none.
        texts: names and contents of texts.
        window: tokens of a text's window, both halves.
        max_tokens: most scored tokens of each source; of a text, its first.
        streams: for the speed; empty for none.
        making: how a quantised model was made, where that is known; by its folder.
    """

    engine: str
    items: Sequence[Mapping[str, Any]]
    texts: Sequence[tuple[str, str]]
    window: int
    max_tokens: int
    streams: Sequence[int]
    making: Mapping[Path, Making]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A report, still without a judgement, and what only the plot needs."""

    report: Report
    kl: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All reports, and the sequences that they are over."""

    measured: list[Measured]
    forced: list[Forced]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Half:
    """What was learned of one model."""

    load_s: float
    resident_weight_bytes: int
    speed: Mapping[str, Mapping[str, float]]
    evaluation: Score | None


class _Bench:
    """What all engines of a run have in common."""

    def __init__(
        self,
        wish: Wish,
        renderer: Renderer,
        asked: Sequence[Sequence[int]],
        scratch: Path,
        progress: Progress,
    ) -> None:
        self.wish, self.renderer, self.asked, self.progress = wish, renderer, asked, progress
        self._scratch = scratch
        answers = [len(prompt) + sequences.LONGEST_ANSWER for prompt in asked]
        self.longest = max([wish.window, *answers, _SPEED_CONTEXT])

    @asynccontextmanager
    async def running(self, artifact: Artifact) -> AsyncIterator[tuple[Running, float]]:
        """An engine of this model, and the seconds that it took to be ready; closed at the end."""
        self.progress.phase(f"load-{artifact.name}")
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            settings = self._settings(artifact, Path(folder))
            began = time.perf_counter()
            quiet: Callable[..., None] = lambda *_: None  # noqa: E731 - the protocol has positions only
            name = self.wish.engine
            engine = await asyncio.to_thread(build, name, artifact.path, settings, quiet)
            try:
                yield Running(engine=engine, folder=Path(folder)), time.perf_counter() - began
            finally:
                await engine.close()
                del engine
                gc.collect()  # the model holds cycles, and the next one needs its memory

    def _settings(self, artifact: Artifact, folder: Path) -> EngineSettings:
        streams = max((*self.wish.streams, forcing.TOGETHER))
        longest = min(self.longest, _own_context(artifact) or self.longest)
        settings = EngineSettings(
            max_num_seqs=streams,
            max_model_len=longest,
            kv_cache_tokens=max(forcing.kv_tokens(longest), streams * _SPEED_CONTEXT),
        )
        if self.wish.engine != "vllm":
            return settings
        return replace(
            settings,
            # No prompt is computed in parts: only a whole one has a row of logits to be kept.
            max_num_batched_tokens=vllm_forcing.TOGETHER * longest,
            vllm=VllmSettings(
                enforce_eager=True,
                engine_args=vllm_forcing.engine_arguments(folder),
                logits_processors=(vllm_forcing.PROCESSOR,),
            ),
        )

    async def half(
        self, engine: Engine, load_s: float, role: str, answered: Sequence[Sequence[int]]
    ) -> _Half:
        """The score of the answers, and the speed."""
        self.progress.phase(f"speed-{role}")
        speed = {}
        if self.wish.streams:
            await speeds.speed(engine, 1, 8, 1)  # warm-up
            for streams in self.wish.streams:
                speed[str(streams)] = await speeds.speed(engine, streams, _SPEED_TOKENS, 2)
        return _Half(
            load_s=load_s,
            resident_weight_bytes=engine.info.weight_bytes,
            speed=speed,
            evaluation=sequences.score(self.renderer, engine, self.wish.items, answered)
            if answered
            else None,
        )

    async def answers(self, engine: Engine) -> list[tuple[int, ...]]:
        self.progress.phase("answers")
        return await sequences.answers(engine, self.asked)

    def forced(self, answered: Sequence[tuple[int, ...]], longest: int) -> list[Forced]:
        """The sequences to score.

        Args:
            answered: of the base.
            longest: the engine's context.

        Raises:
            ValueError: there are none.
        """
        wish, tokenizer = self.wish, self.renderer.tokenizer
        found = sequences.limited(
            [
                Forced(source=sequences.EVALUATION, given=tuple(prompt), scored=answer)
                for prompt, answer in zip(self.asked, answered, strict=True)
            ],
            wish.max_tokens,
        )
        begins = tokenizer.encode("", add_special_tokens=True)
        for name, text in wish.texts:
            tokens = tokenizer.encode(text, add_special_tokens=False)[: wish.max_tokens + 1]
            window = min(wish.window, longest)
            found += sequences.windows(tokens, source=name, window=window, begins=begins)
        if not found:
            raise ValueError("nothing to measure on: give --text FILE, or leave --no-items out")
        return found


async def measure(
    base: Artifact, quantised: Sequence[Artifact], wish: Wish, progress: Progress
) -> Found:
    """Everything, in some minutes.

    Raises:
        ValueError: the models do not fit together, or there is nothing to measure on.
        StartupError: the engine cannot run one of them.
        OSError: no room for vLLM's rows in the temporary folder.
    """
    renderer = Renderer.load(base.path)
    if wish.items and renderer.template is None:
        wish = replace(wish, items=())
    asked = await sequences.prompts(renderer, wish.items) if wish.items else []
    halves: list[_Half] = []
    rows: list[Rows] = []
    with tempfile.TemporaryDirectory(prefix="intramural-quality-") as scratch:
        bench = _Bench(wish, renderer, asked, Path(scratch), progress)
        async with bench.running(base) as (own, load_s):
            answered = await bench.answers(own.engine)
            forced = bench.forced(answered, own.engine.info.max_model_len)
            base_half = await bench.half(own.engine, load_s, base.name, answered)
            for group in _groups(quantised, wish.engine):
                async with AsyncExitStack() as stack:
                    others = []
                    for artifact in group:
                        other, its_load_s = await stack.enter_async_context(bench.running(artifact))
                        said = await bench.answers(other.engine)
                        half = await bench.half(other.engine, its_load_s, artifact.name, said)
                        halves.append(half)
                        others.append(other)
                    tokens = sum(len(each.scored) for each in forced)
                    progress.phase("compare", tokens * own.engine.info.vocab_size * _LOGIT_BYTES)
                    rows += await comparing.compared(own, others, forced, progress.advance)
    progress.phase("weights")
    count = await asyncio.to_thread(tensors.num_weights, base.path)
    side = _side(base, base_half, count)
    measured = []
    for artifact, half, found in zip(quantised, halves, rows, strict=True):
        errors = await asyncio.to_thread(_tensor_errors, base.path, artifact.path)
        report = Report(
            engine=wish.engine,
            num_weights=count,
            machine=machine(),
            base=side,
            quantised=_side(artifact, half, count),
            making=wish.making.get(artifact.path),
            agreement=by_source(forced, found),
            tensors=errors,
            failed=(),
        )
        measured.append(Measured(report=report, kl=found.kl.tolist()))
    return Found(measured=measured, forced=forced)


def machine() -> str:
    """Cores, threads and load: speeds mean nothing without them."""
    load = os.getloadavg()[1]
    return f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, load {load:.1f}"


def _groups(quantised: Sequence[Artifact], engine: str) -> Iterator[list[Artifact]]:
    """As many at a time as fit into what memory is free now, one at least. vLLM's engines of one
    process end together, the base's with the others', so there all run at once.
    """
    group: list[Artifact] = []
    free = None if engine == "vllm" else available_bytes()
    taken = 0
    for artifact in quantised:
        needed = tensors.num_bytes(artifact.path) + _BESIDE_BYTES
        if group and free is not None and taken + needed > free:
            yield group
            group, taken = [], 0
        group.append(artifact)
        taken += needed
    if group:
        yield group


def _own_context(artifact: Artifact) -> int | None:
    """Tokens that the model has positions for, where its configuration says so."""
    config = json.loads((artifact.path / "config.json").read_bytes())
    own = (config.get("text_config") or config).get("max_position_embeddings")
    return own if isinstance(own, int) else None


def _tensor_errors(base: Path, quantised: Path) -> tuple[TensorError, ...]:
    """The worst first."""
    return tuple(sorted(tensors.errors(base, quantised), key=lambda each: -each.relative_mse))


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
