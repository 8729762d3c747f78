"""Everything that the quality reports hold, of a base and what was made of it, on one engine.

On the transformers engine the base stays loaded; beside it as many of the quantised models as the
free memory holds, one at least (``comparing.py``). Of vLLM one model at a time is up
(``recorded.py``). ``engines.py`` builds the engines.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from benchmarks.quality import comparing, memory, recorded, sequences, tensors
from benchmarks.quality.agreement import by_source
from benchmarks.quality.comparing import Running
from benchmarks.quality.engines import EngineFigures, Engines, QualityOptions, beginning_of
from benchmarks.quality.formulas import Rows, bits_per_weight
from benchmarks.quality.report import Report, Side
from benchmarks.quality.sequences import Forced
from benchmarks.quality.tensors import TensorError
from models.errors import ManifestError
from models.memory.host_memory import available_bytes
from models.progress import Progress
from models.refs import Artifact
from models.trust.manifest import Manifest
from serve.pipeline.render import Renderer

_LOGIT_BYTES = 4
_BESIDE_BYTES = 1 << 30
"""What an engine takes beside its weights: code, KV cache, scratch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A report, still without a verdict, and what only the plot needs.

    Attributes:
        kl: nats of every scored token.
    """

    report: Report
    kl: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """All reports, and the sequences that they are over."""

    measured: list[Measured]
    forced: list[Forced]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """The figures of all engines, the compared tokens of each model, and their sequences."""

    base: EngineFigures
    quantised: list[EngineFigures]
    rows: list[Rows]
    forced: list[Forced]


async def measure(
    base: Artifact, quantised: Sequence[Artifact], options: QualityOptions, progress: Progress
) -> Results:
    """Everything, in some minutes.

    Raises:
        ValueError: the models do not fit together, or there is nothing to measure on.
        StartupError: the engine cannot run one of them.
        QuantizeError: the base has no tokenizer that can be read.
        OSError: no room for vLLM's rows in the temporary folder.
    """
    renderer = Renderer.load(base.path)
    if options.items and renderer.template is None:
        options = replace(options, items=())
    prompts = await sequences.prompts(renderer, options.items) if options.items else []
    with tempfile.TemporaryDirectory(prefix="intramural-quality-") as scratch:
        engines = Engines(options, renderer, prompts, Path(scratch), progress)
        run_models = _in_turn if options.engine == "vllm" else _side_by_side
        run = await run_models(engines, base, quantised, options, progress)
    memory.release()
    progress.phase("weights")
    num_weights = await asyncio.to_thread(tensors.num_weights, base.path)
    side = _side(base, run.base, num_weights)
    measured = []
    for artifact, figures, rows in zip(quantised, run.quantised, run.rows, strict=True):
        errors = await asyncio.to_thread(_tensor_errors, base.path, artifact.path)
        report = Report(
            engine=options.engine,
            num_weights=num_weights,
            machine=machine(),
            base=side,
            quantised=_side(artifact, figures, num_weights),
            making=options.making.get(artifact.path),
            agreement=by_source(run.forced, rows),
            tensors=errors,
            failed=(),
        )
        measured.append(Measured(report=report, kl=rows.kl.tolist()))
    return Results(measured=measured, forced=run.forced)


async def _side_by_side(
    engines: Engines,
    base: Artifact,
    quantised: Sequence[Artifact],
    options: QualityOptions,
    progress: Progress,
) -> _Run:
    """All that engines are needed for. None is alive afterwards, but in cycles."""
    figures: list[EngineFigures] = []
    rows: list[Rows] = []
    async with engines.running(base) as (own, load_s):
        base_figures, forced = await _asked(engines, base, own, load_s, options)
        for group in groups(quantised):
            group_figures, group_rows = await _compared(engines, own, group, forced, progress)
            figures += group_figures
            rows += group_rows
            memory.release()
    return _Run(base=base_figures, quantised=figures, rows=rows, forced=forced)


async def _in_turn(
    engines: Engines,
    base: Artifact,
    quantised: Sequence[Artifact],
    options: QualityOptions,
    progress: Progress,
) -> _Run:
    """The same, and no two engines are up at any time."""
    figures: list[EngineFigures] = []
    rows: list[Rows] = []
    with tempfile.TemporaryFile(prefix="intramural-quality-") as file:
        async with engines.running(base) as (own, load_s):
            base_figures, forced = await _asked(engines, base, own, load_s, options)
            num_bytes = _logit_bytes(own, forced)
            progress.phase("record", num_bytes)
            its_rows = await recorded.record(own, forced, file, progress.advance)
        for artifact in quantised:
            memory.release()
            async with engines.running(artifact) as (other, load_s):
                answered = await engines.answers(other.engine)
                figures.append(await engines.figures(other.engine, load_s, artifact.name, answered))
                progress.phase("compare", num_bytes)
                rows.append(await recorded.compared(its_rows, other, forced, progress.advance))
    return _Run(base=base_figures, quantised=figures, rows=rows, forced=forced)


async def _asked(
    engines: Engines, base: Artifact, own: Running, load_s: float, options: QualityOptions
) -> tuple[EngineFigures, list[Forced]]:
    """The base's figures, and the sequences that all models are to score."""
    answered = await engines.answers(own.engine)
    longest = own.engine.info.max_model_len
    begins = beginning_of(base.path, longest) if options.texts else ()
    forced = engines.forced(answered, longest, begins)
    return await engines.figures(own.engine, load_s, base.name, answered), forced


def _logit_bytes(base: Running, forced: Sequence[Forced]) -> int:
    """Bytes of the base's logits at all scored tokens."""
    num_tokens = sum(len(sequence.scored) for sequence in forced)
    return num_tokens * base.engine.info.vocab_size * _LOGIT_BYTES


async def _compared(
    engines: Engines,
    base: Running,
    group: Sequence[Artifact],
    forced: Sequence[Forced],
    progress: Progress,
) -> tuple[list[EngineFigures], list[Rows]]:
    """Load a group, ask it and compare it with the base. Its engines are closed afterwards."""
    figures: list[EngineFigures] = []
    async with AsyncExitStack() as stack:
        running: list[Running] = []
        for artifact in group:
            other, load_s = await stack.enter_async_context(engines.running(artifact))
            running.append(other)
            answered = await engines.answers(other.engine)
            figures.append(await engines.figures(other.engine, load_s, artifact.name, answered))
        progress.phase("compare", _logit_bytes(base, forced))
        rows = await comparing.compared(base, running, forced, progress.advance)
    return figures, rows


def machine() -> str:
    """Cores, threads and load: speeds mean nothing without them."""
    load = os.getloadavg()[1]
    return f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, load {load:.1f}"


def groups(quantised: Sequence[Artifact]) -> Iterator[list[Artifact]]:
    """The models in groups that are loaded at the same time, in order.

    A group holds as many as fit into the memory that is free when it is begun, one at least.
    """
    group: list[Artifact] = []
    free, needed = None, 0
    for artifact in quantised:
        own_bytes = tensors.num_bytes(artifact.path) + _BESIDE_BYTES
        if group and free is not None and needed + own_bytes > free:
            yield group
            group, needed = [], 0
        if not group:
            free = available_bytes()
        group.append(artifact)
        needed += own_bytes
    if group:
        yield group


def _tensor_errors(base: Path, quantised: Path) -> tuple[TensorError, ...]:
    """The worst first."""
    return tuple(sorted(tensors.errors(base, quantised), key=lambda error: -error.relative_mse))


def _side(artifact: Artifact, figures: EngineFigures, num_weights: int) -> Side:
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
        resident_weight_bytes=figures.resident_weight_bytes,
        bits_per_weight=bits_per_weight(num_bytes, num_weights),
        load_s=figures.load_s,
        speed=figures.speed,
        evaluation=figures.evaluation,
    )
