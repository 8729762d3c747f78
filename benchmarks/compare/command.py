"""`python -m benchmarks compare`: several systems on the same models, in one run, in turn."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import signal
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks import roofline, workbench
from benchmarks.compare import rounds
from benchmarks.compare.registry import known
from benchmarks.compare.rounds import Rules, Runner
from benchmarks.compare.systems import Bench, MissingError, System
from benchmarks.engine.command import Sweep, add_sweep, cases_of, device, dtype_of
from benchmarks.quality import memory
from benchmarks.report import output
from benchmarks.report.document import Ratio, Row, doubts
from benchmarks.report.output import add_output, deliver, document_of, refusals
from benchmarks.report.steps import Steps
from benchmarks.roofline import Roofline
from models.cli.options import Commands, command
from models.memory.fit import GPU_SHARE
from models.memory.host_memory import available_bytes
from quantize.errors import QuantizeError
from serve.environment import harden_environment
from serve.errors import ServeError

_EPILOG = """
    systems:
      intramural transformers   our engine, with none, int8 and int4 weights
      intramural vllm           our server on our vLLM engine, over HTTP
      vllm serve                vLLM's own server, over HTTP, with the same flags
      llama.cpp                 by llama-cpp-python: f16; q8_0 and q4_0 beside int8 and int4
      transformers batching     its own continuous batching
      transformers generate     as its documentation shows it
    What is not installed is left out, with a note on how to get it.

    examples:
      python -m benchmarks compare demo random:0.5b --out bench-out
      python -m benchmarks compare ./model --only intramural vllm --repeats 9
      python -m benchmarks compare demo --llama-cpp-python ~/llama/bin/python

    All systems of a model are up at once and compute in turn; ratios are medians over rounds, with
    95 % intervals. The last line of stdout is the report as JSON: docs/benchmarks.md.

    exit codes: 0 measured, 2 refused
"""
_Outcome: TypeAlias = tuple[list[Row], list[Ratio], list[str]]
_ROOM = 1 << 30  # beside the weights: code, activations, KV cache


def add_command(commands: Commands) -> None:
    """Add `compare`."""
    parser = command(
        commands,
        "compare",
        text="several systems on the same models, in turn: ratios with confidence intervals",
        run=_run,
        epilog=_EPILOG,
    )
    add = parser.add_argument
    add("models", nargs="+", metavar="MODEL", help="names, folders, or random:SHAPE")
    add("--only", nargs="+", default=[], metavar="WORD", help="systems whose name has such a word")
    add(
        "--budget",
        type=float,
        default=300,
        metavar="SECONDS",
        help="for the rounds of one model; fewer rounds are run where they do not fit (300)",
    )
    add(
        "--llama-cpp-python",
        type=Path,
        metavar="PATH",
        help="an interpreter that has llama-cpp-python, gguf, torch and safetensors",
    )
    # The same for every system, and short enough to be repeated.
    add_sweep(
        parser,
        Sweep(prefill=(256,), decode=(1, 8), context=(64,), tokens=24, dtype="fastest"),
    )
    add_output(parser)


def _run(options: argparse.Namespace) -> int:
    harden_environment()
    with refusals():
        wanted = cases_of(options)
        output.check(options)
        systems = [system for system in known() if _is_wanted(system, options.only)]
        if not systems:
            names = ", ".join(system.label for system in known())
            raise ValueError(f"--only {' '.join(options.only)}: no such system. There are {names}")
        cache = workbench.cache()
        fulls = [workbench.find(name, options.data_dir, cache) for name in options.models]
        _check_names(full.name for full in fulls)
        limits = roofline.measure(device())
        memory.release()  # the limits' operands: servers need the room
        dtype = dtype_of(options.dtype, limits)
        each_model = 2 * len(systems) + len(wanted) * options.repeats
        steps = Steps(each_model * len(fulls))
        rows: list[Row] = []
        ratios: list[Ratio] = []
        notes: list[str] = []
        for full in fulls:
            bench = Bench(
                full=full,
                cache_dir=cache,
                dtype=dtype,
                cases=wanted,
                gpu_share=_share_of(systems) if device() == "cuda" else None,
                llama_python=options.llama_cpp_python and options.llama_cpp_python.absolute(),
            )
            results = asyncio.run(
                _until_terminated(_one_model(bench, systems, options, limits, steps))
            )
            rows += results[0]
            ratios += results[1]
            notes += results[2]
            memory.release()  # the next ones need it
        steps.end()
        output.set_aside("compare", options)
        return deliver(
            document_of(
                "compare",
                options,
                roofline=limits,
                settings={"dtype": dtype, "repeats": options.repeats},
                rows=rows,
                ratios=ratios,
                notes=list(dict.fromkeys(notes + doubts(rows))),
            ),
            options,
        )


async def _until_terminated(work: Coroutine[Any, Any, _Outcome]) -> _Outcome:
    """SIGTERM ends it as Ctrl-C does: with everything that was started."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise SystemExit(128 + signal.SIGTERM) from None


def _is_wanted(system: System, words: Sequence[str]) -> bool:
    return not words or any(word in system.label for word in words)


async def _one_model(
    bench: Bench,
    systems: Sequence[System],
    options: argparse.Namespace,
    limits: Roofline,
    steps: Steps,
) -> _Outcome:
    """Start all that can be started, measure, and end all of them."""
    runners: list[Runner] = []
    notes: list[str] = []

    async def start(system: System) -> None:
        try:
            _check_room(bench)
            runners.append(Runner(system, await system.start(bench, system.scheme)))
        except (MissingError, ServeError, QuantizeError) as error:
            notes.append(f"{bench.full.name}, {system.label}: left out, {error}")
            steps.fewer(1)

    try:
        # Servers start in processes of their own, meanwhile; the others one after the other.
        async with asyncio.TaskGroup() as group:
            for system in systems:
                steps.begin(f"{bench.full.name}: starting {system.label}")
                # On one card they would measure each other's memory as their own.
                if system.via == "HTTP" and bench.gpu_share is None:
                    group.create_task(start(system))
                else:
                    await start(system)
        runners.sort(key=lambda runner: systems.index(runner.system))
        vocab_size = json.loads((bench.full.path / "config.json").read_bytes())["vocab_size"]
        rules = Rules(
            limits=limits,
            repeats=options.repeats,
            budget_s=options.budget,
            vocab_size=vocab_size,
            steps=steps,
        )
        rows, ratios, more = await rounds.measure(bench, list(runners), rules)
        return rows, ratios, notes + more
    finally:
        for runner in runners:
            await runner.up.running.close()


def _check_names(models: Iterable[str]) -> None:
    """Raises ValueError: two models have one name, and rows of a report would be mixed up."""
    name, count = Counter(models).most_common(1)[0]
    if count > 1:
        raise ValueError(
            f"{count} models are called {name}, and a report tells them apart by their names: "
            "rename a folder, or reach it by a link of another name"
        )


def _share_of(systems: Sequence[System]) -> float:
    """The share of a GPU's memory for each: all are up at once, and each would take nine tenths."""
    return math.floor(100 * GPU_SHARE / len(systems)) / 100


def _check_room(bench: Bench) -> None:
    """Raises MissingError: another copy of the weights would not fit into memory."""
    stored = sum(path.stat().st_size for path in bench.full.path.glob("*.safetensors"))
    needed = stored * (2 if bench.dtype == "float32" else 1) + _ROOM
    free = available_bytes()
    if free is not None and free < needed:
        raise MissingError(
            f"it needs about {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB are free"
        )
