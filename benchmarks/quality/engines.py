"""The engines of a quality run: how each is built, and what is asked of it while it is up."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.engine import running as speeds
from benchmarks.quality import forcing, sequences, vllm_forcing
from benchmarks.quality.comparing import Running
from benchmarks.quality.report import Making
from benchmarks.quality.sequences import Forced, Score
from models.memory.context import context_length
from models.progress import Progress
from models.refs import Artifact
from quantize.measuring import windows
from quantize.measuring.texts import Text
from serve.engine.protocol import Engine
from serve.engine.registry import build
from serve.engine.settings import EngineSettings, VllmSettings
from serve.pipeline.render import Renderer

_SPEED_TOKENS = 32
_SPEED_CONTEXT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityOptions:
    """The options of a quality run.

    Attributes:
        engine: ``transformers`` or ``vllm``.
        items: the evaluation's questions; empty for none.
        texts: names and contents of texts.
        window: tokens of a text's window, both halves.
        max_tokens: most scored tokens of each source; of a text, its first.
        streams: numbers of streams at which the speed is measured; empty for none.
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
class EngineFigures:
    """The figures of one model on its engine, whatever it is compared with.

    Attributes:
        load_s: seconds until the engine was ready.
        resident_weight_bytes: 0 where the engine cannot say.
        speed: figures by number of streams; empty where it was not measured.
        evaluation: None where nothing was asked.
    """

    load_s: float
    resident_weight_bytes: int
    speed: Mapping[str, Mapping[str, float]]
    evaluation: Score | None


class Engines:
    """Builds the engines of a run, each with room for all that is asked in it.

    Args:
        options: of the run.
        renderer: of the base; all models share its tokenizer.
        prompts: token ids of the evaluation's questions.
        scratch: a folder for what vLLM's workers write.
        progress: told of each phase.
    """

    def __init__(
        self,
        options: QualityOptions,
        renderer: Renderer,
        prompts: Sequence[Sequence[int]],
        scratch: Path,
        progress: Progress,
    ) -> None:
        self._options, self._renderer, self._prompts = options, renderer, prompts
        self._scratch, self._progress = scratch, progress
        answers = [len(prompt) + sequences.LONGEST_ANSWER for prompt in prompts]
        self._longest = max([options.window, *answers, _SPEED_CONTEXT])

    @asynccontextmanager
    async def running(self, artifact: Artifact) -> AsyncIterator[tuple[Running, float]]:
        """An engine of this model, and the seconds until it was ready; closed at the end.

        Its memory is free once no name holds it any more and ``memory.release`` was called.
        """
        self._progress.phase(f"load-{artifact.name}")
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            settings = self._settings(artifact, Path(folder))
            began = time.perf_counter()
            quiet: Callable[..., None] = lambda *_: None  # noqa: E731 - the protocol has positions only
            name = self._options.engine
            engine = await asyncio.to_thread(build, name, artifact.path, settings, quiet)
            try:
                yield Running(engine=engine, folder=Path(folder)), time.perf_counter() - began
            finally:
                await engine.close()

    def _settings(self, artifact: Artifact, folder: Path) -> EngineSettings:
        streams = max((*self._options.streams, forcing.TOGETHER))
        longest = min(self._longest, _own_context(artifact) or self._longest)
        settings = EngineSettings(
            max_num_seqs=streams,
            max_model_len=longest,
            kv_cache_tokens=max(forcing.kv_tokens(longest), streams * _SPEED_CONTEXT),
            enable_prefix_caching=False,
        )
        if self._options.engine != "vllm":
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

    async def answers(self, engine: Engine) -> list[tuple[int, ...]]:
        """Greedy answers to the questions, as token ids."""
        self._progress.phase("answers")
        return await sequences.answers(engine, self._prompts)

    async def figures(
        self, engine: Engine, load_s: float, role: str, answered: Sequence[Sequence[int]]
    ) -> EngineFigures:
        """The speed, and the score of the answers that the engine gave."""
        self._progress.phase(f"speed-{role}")
        speed = {}
        if self._options.streams:
            await speeds.speed(engine, 1, 8, 1)  # warm-up
            for streams in self._options.streams:
                speed[str(streams)] = await speeds.speed(engine, streams, _SPEED_TOKENS, 2)
        return EngineFigures(
            load_s=load_s,
            resident_weight_bytes=engine.info.weight_bytes,
            speed=speed,
            evaluation=sequences.score(self._renderer, engine, self._options.items, answered)
            if answered
            else None,
        )

    def forced(
        self, answered: Sequence[tuple[int, ...]], longest: int, begins: Sequence[int]
    ) -> list[Forced]:
        """The sequences to score: the base's answers, then windows of the texts.

        Args:
            answered: by the base, one answer for each question.
            longest: tokens of the base engine's context.
            begins: token ids that each window of a text begins with.

        Raises:
            ValueError: there are none.
        """
        options = self._options
        forced = sequences.limited(
            [
                Forced(source=sequences.EVALUATION, given=tuple(prompt), scored=answer)
                for prompt, answer in zip(self._prompts, answered, strict=True)
            ],
            options.max_tokens,
        )
        window = min(options.window, longest)
        for name, text in options.texts:
            tokens = self._renderer.tokenizer.encode(text, add_special_tokens=False)
            forced += sequences.windows(
                tokens[: options.max_tokens + 1], source=name, window=window, begins=begins
            )
        if not forced:
            raise ValueError("nothing to measure on: give --text FILE, or leave --no-items out")
        return forced


def beginning_of(folder: Path, longest: int) -> tuple[int, ...]:
    """Token ids that a text begins with: the model's mark of a beginning, or none.

    The rule is that of quantize/measuring/windows.py, so that both read a text alike: it is what a
    window of two tokens has before them.

    Args:
        folder: of the model.
        longest: tokens of its context.

    Raises:
        QuantizeError: the folder has no tokenizer that can be read.
    """
    text = Text(name="probe", content="one two three", most_tokens=2)
    (window,) = windows.of_texts(folder, [text], longest)
    return window.tokens[:-2]


def _own_context(artifact: Artifact) -> int | None:
    """Tokens that the model has positions for, where its configuration says so."""
    config = json.loads((artifact.path / "config.json").read_bytes())
    return context_length(config)
