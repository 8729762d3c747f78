"""`python -m benchmarks engine`: prefill and decode of one model, scheme after scheme."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import torch
import uvloop

from benchmarks import cases, roofline, workbench
from benchmarks.cases import Case
from benchmarks.engine import running
from benchmarks.options import add_engine, add_schemes
from benchmarks.quality import memory
from benchmarks.report import output
from benchmarks.report.document import Row, doubts
from benchmarks.report.output import add_output, deliver, document_of, refusals
from benchmarks.report.steps import Steps
from benchmarks.roofline import Roofline
from benchmarks.trace import Trace
from models.cli.options import Commands, command
from models.memory.context import context_length
from models.refs import Artifact, QuantScheme
from serve.config_sections.served_model import Dtype
from serve.engine.protocol import Engine
from serve.engine.registry import build
from serve.engine.settings import EngineSettings, VllmSettings
from serve.environment import harden_environment

_EPILOG = """
    examples:
      python -m benchmarks engine demo
      python -m benchmarks engine qwen2.5-7b --engine vllm --quant none int4 --decode 1 32 128
      python -m benchmarks engine random:0.5b --prefill 512 2048 --context 128 2048 --repeats 9

    Each scheme's engine is built, warmed up and measured alone. The speed limits of the machine are
    measured first; MFU (prefill) and MBU (decode) are shares of them: docs/benchmarks.md.
    The last line of stdout is the report as JSON.

    exit codes: 0 measured, 2 refused
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The measurement of each engine.

    Attributes:
        dtype: of weights and arithmetic; ``auto`` is the checkpoint's.
        repeats: rounds over all cases, after one that does not count.
    """

    engine: str
    dtype: Dtype
    cases: Sequence[Case]
    repeats: int


def add_command(commands: Commands) -> None:
    """Add `engine`."""
    parser = command(
        commands,
        "engine",
        text="prefill and decode straight on an engine, beside what the machine could do",
        run=_run,
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="a name or folder as for the server, or random:SHAPE")
    add_engine(parser)
    add_schemes(parser, ["none"], "none, int8, int4, ...; made once and kept")
    add_sweep(parser)
    add_output(parser)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Defaults of the options that ``add_sweep`` adds."""

    prefill: tuple[int, ...] = (128, 512)
    prefill_batch: tuple[int, ...] = (1,)
    decode: tuple[int, ...] = (1, 8, 32)
    context: tuple[int, ...] = (128,)
    tokens: int = 32
    dtype: str = "auto"


def add_sweep(parser: argparse.ArgumentParser, default: Sweep = Sweep()) -> None:
    """Add the options that choose the cases, and how often they are measured."""
    for name, values, text in (
        ("--prefill", default.prefill, "tokens of the prompts"),
        ("--prefill-batch", default.prefill_batch, "prompts at once"),
        ("--decode", default.decode, "sequences at once"),
        ("--context", default.context, "tokens before the decoded ones"),
    ):
        help_text = f"{text} (default: {' '.join(map(str, values))})"
        parser.add_argument(name, type=int, nargs="*", metavar="N", default=values, help=help_text)
    add = parser.add_argument
    add(
        "--tokens",
        type=int,
        default=default.tokens,
        metavar="N",
        help="tokens that each decodes (default: %(default)s)",
    )
    add(
        "--dtype",
        choices=("auto", "fastest", "bfloat16", "float16", "float32"),
        default=default.dtype,
        help="auto: the checkpoint's; fastest: whose products are fastest on this machine "
        "(default: %(default)s)",
    )
    add("--repeats", type=int, default=5, help="rounds that count (default: %(default)s)")


def cases_of(options: argparse.Namespace) -> list[Case]:
    """The cases that were asked for.

    Raises:
        ValueError: there are none, or a number is out of its range.
    """
    for name in ("prefill", "prefill_batch", "decode", "context"):
        least = min(getattr(options, name), default=1)
        if least < 1:
            raise ValueError(f"--{name.replace('_', '-')} has {least}; it takes 1 and more.")
    if options.tokens < 8:
        raise ValueError(f"--tokens {options.tokens}: at least 8, or there is no pace to see")
    wanted = [
        *cases.prefills(options.prefill_batch, options.prefill),
        *cases.decodes(options.decode, options.context, options.tokens),
    ]
    if not wanted:
        raise ValueError("nothing to measure: give --prefill or --decode a number")
    return wanted


def dtype_of(wanted: str, limits: Roofline) -> Dtype:
    """The type to ask the engines for."""
    return cast("Dtype", limits.dtype if wanted == "fastest" else wanted)


def _run(options: argparse.Namespace) -> int:
    harden_environment()
    with refusals():
        wanted = cases_of(options)
        output.check(options)
        cache = workbench.cache()
        full = workbench.find(options.model, options.data_dir, cache)
        limits = roofline.measure(device())
        memory.release()  # the limits' operands: an engine in another process needs the room
        plan = Plan(
            engine=options.engine,
            dtype=dtype_of(options.dtype, limits),
            cases=wanted,
            repeats=options.repeats,
        )
        steps = Steps(len(options.quant) * len(wanted) * (plan.repeats + 1))
        rows: list[Row] = []
        notes: list[str] = []
        for scheme in map(QuantScheme, options.quant):
            artifact = workbench.quantised(full, scheme, cache)
            scheme_rows, skipped = uvloop.run(_measure(artifact, scheme, plan, limits, steps))
            rows += scheme_rows
            notes += skipped
            memory.release()  # the next one needs it
        steps.end()
        output.set_aside("engine", options)
        return deliver(
            document_of(
                "engine",
                options,
                roofline=limits,
                settings={"dtype": plan.dtype, "repeats": plan.repeats},
                rows=rows,
                notes=notes + doubts(rows),
            ),
            options,
        )


def device() -> str:
    """The device that engines take by default: ``cuda`` or ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


async def _measure(
    artifact: Artifact, scheme: QuantScheme, plan: Plan, limits: Roofline, steps: Steps
) -> tuple[list[Row], list[str]]:
    """One engine over all cases; the rows, and what did not fit."""
    began = time.perf_counter()
    engine = await asyncio.to_thread(_engine, artifact.path, plan)
    start_s = time.perf_counter() - began
    try:
        fitting = [case for case in plan.cases if case.length <= engine.info.max_model_len]
        notes = [
            f"{case.label}: left out, {artifact.name} holds {engine.info.max_model_len} tokens"
            for case in plan.cases
            if case not in fitting
        ]
        steps.fewer((len(plan.cases) - len(fitting)) * (plan.repeats + 1))
        cost = roofline.cost_of(artifact.path, scheme, plan.dtype)
        if cost is None:
            notes.append(f"{artifact.name}: no MBU and MFU, its config.json does not tell enough")
        rate = partial(cases.figures, cost=cost, roofline=limits)
        samples = await _rounds(engine, fitting, plan.repeats, rate, steps)
    finally:
        await engine.close()
    facts = {"weight_bytes": float(engine.info.weight_bytes), "start_s": round(start_s, 2)}
    return [
        Row(
            model=artifact.name.partition("--")[0],
            system=f"intramural {plan.engine}",
            scheme=str(scheme),
            case=case.label,
            samples=figures,
            facts=facts | ({} if cost is None else {"flops_per_byte": cases.intensity(case, cost)}),
        )
        for case, figures in samples.items()
    ], notes


async def _rounds(
    engine: Engine,
    measured_cases: Sequence[Case],
    repeats: int,
    rate: Callable[[Case, Sequence[Trace]], dict[str, float]],
    steps: Steps,
) -> dict[Case, dict[str, list[float]]]:
    """Every case once as a warm-up, then all of them in turn, round after round."""
    samples: dict[Case, dict[str, list[float]]] = {case: {} for case in measured_cases}
    for number in range(-1, repeats):
        for case in measured_cases:
            prompts = case.prompts(engine.info.vocab_size, number)
            steps.begin(f"{'warm-up' if number < 0 else f'round {number + 1}'}: {case.label}")
            traces = await running.ask_all(
                engine, f"{case.label} {number}", prompts, case.max_tokens
            )
            for figure, value in rate(case, traces).items() if number >= 0 else ():
                samples[case].setdefault(figure, []).append(value)
    return samples


def _engine(folder: Path, plan: Plan) -> Engine:
    """Tokens are not held to be sent in pairs: nobody is at the other end.

    On a CPU vLLM goes without its compiler, for which a start would wait. On a GPU
    its captured graphs are most of its speed at small batches.
    """
    is_vllm = plan.engine == "vllm"
    vllm = VllmSettings(enforce_eager=device() == "cpu", enable_prefix_caching=False)
    settings = EngineSettings(
        dtype=plan.dtype,
        max_num_seqs=max(case.batch for case in plan.cases),
        max_model_len=_context(folder, plan.cases),
        max_hold_s=0.0,
        vllm=vllm if is_vllm else VllmSettings(),
    )
    return build(plan.engine, folder, settings, lambda *_: None)


def _context(folder: Path, measured_cases: Sequence[Case]) -> int:
    """Tokens that the engine must hold: those of the longest case, or as many as the model can."""
    config = json.loads((folder / "config.json").read_bytes())
    own = context_length(config)
    wanted = max(case.length for case in measured_cases) + 8
    return min(wanted, own or wanted)
