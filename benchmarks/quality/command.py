"""`python -m benchmarks quality`: the command line of the quality report."""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchmarks.quality import plots
from benchmarks.quality import report as reports
from benchmarks.quality.agreement import ALL
from benchmarks.quality.gates import GATES, failures, score_failures
from benchmarks.quality.making import read_making
from benchmarks.quality.measuring import Measured, Wish, measure
from benchmarks.quality.report import Report
from benchmarks.quality.sequences import read_items
from models import store
from models.cli.options import Commands, command
from models.durable import write_whole
from models.errors import ModelError
from models.progress import shown
from models.refs import Artifact, QuantScheme
from models.reports import path_of
from serve.environment import harden_environment
from serve.errors import ServeError

FAILED, REFUSED = 1, 2

EVALUATION = store.DEMO_WEIGHTS.parent / "eval.jsonl"
_EPILOG = """
    examples:
      python -m benchmarks quality demo demo--int8
      python -m benchmarks quality qwen2-7b qwen2-7b--int4 --text handbook.txt --gate
      python -m benchmarks quality ./full ./small --engine vllm --streams --json

    exit codes: 0 measured (and with --gate, good enough), 1 a gate failed, 2 refused
"""


def add_command(commands: Commands) -> None:
    """Add `quality`."""
    parser = command(
        commands,
        "quality",
        text="what a quantisation cost: perplexity, KL divergence, agreement, sizes and speed",
        run=_run,
        epilog=_EPILOG,
    )
    parser.add_argument("base", metavar="BASE", help="the full model: a name or a folder")
    parser.add_argument("quantised", metavar="QUANTISED", help="the smaller one, made from it")
    parser.add_argument(
        "--text",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="also measure on this UTF-8 text; may be given several times",
    )
    parser.add_argument(
        "--items",
        type=Path,
        default=EVALUATION,
        metavar="FILE",
        help="questions as JSON lines (default: the built-in model's evaluation)",
    )
    parser.add_argument("--no-items", action="store_true", help="measure on texts alone")
    parser.add_argument(
        "--engine",
        choices=("transformers", "vllm"),
        default="transformers",
        help="vllm tells no whole distributions: top-1 agreement alone (default: %(default)s)",
    )
    parser.add_argument(
        "--window", type=int, default=512, help="tokens of context for a text (default: 512)"
    )
    parser.add_argument(
        "--max-tokens",
        type=int,
        default=16_384,
        help="most tokens to score of each source (default: %(default)s); their distributions "
        "wait in the temporary folder, 2 bytes per token and word of the vocabulary",
    )
    parser.add_argument(
        "--streams",
        type=int,
        nargs="*",
        default=[1, 8, 32],
        help="measure the speed at so many streams; nothing after it: no speed (default: 1 8 32)",
    )
    _add_output(parser)


def _add_output(parser: argparse.ArgumentParser) -> None:
    """What is printed, judged and written."""
    parser.add_argument(
        "--made",
        type=Path,
        metavar="FILE",
        help="what `python -m quantize --json` printed, for its time and memory",
    )
    parser.add_argument(
        "--gate", action="store_true", help="exit with 1 if the quality is below the scheme's gate"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write there (default: DATA_DIR/reports)"
    )


def judged(report: Report, *, is_own_evaluation: bool) -> Report:
    """The report with the gates that fail.

    Args:
        report: measured.
        is_own_evaluation: the questions are what the base model was made to answer; else its
            score is chance, and no gate.
    """
    gate = GATES[QuantScheme(report.quantised.scheme)]
    failed = [
        line
        for source, found in report.agreement.items()
        if source != ALL
        for line in failures(
            gate, over=source, kl=found.kl.mean if found.kl else None, top1=found.top1
        )
    ]
    base, quantised = report.base.evaluation, report.quantised.evaluation
    if base and quantised and is_own_evaluation:
        failed += score_failures(gate, base.percent - quantised.percent)
    return replace(report, failed=tuple(failed))


def _run(options: argparse.Namespace) -> int:
    harden_environment()
    try:
        base = store.resolve(options.base, options.data_dir)
        quantised = store.resolve(options.quantised, options.data_dir)
        wish = Wish(
            engine=options.engine,
            items=() if options.no_items else read_items(options.items),
            texts=[(path.name, path.read_text("utf-8")) for path in options.text],
            window=options.window,
            max_tokens=options.max_tokens,
            streams=options.streams,
            making=None if options.made is None else read_making(options.made, quantised.path),
        )
        with shown(as_json=options.json) as progress:
            measured = asyncio.run(measure(base, quantised, wish, progress))
        is_own = base.name == store.DEMO and options.items == EVALUATION
        report = judged(measured.report, is_own_evaluation=is_own)
        written = _write(options, quantised, report, measured)
    except (ModelError, ServeError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return REFUSED
    _print(report, written, as_json=options.json)
    if options.gate and report.failed:
        return FAILED
    return 0


def _write(
    options: argparse.Namespace, quantised: Artifact, report: Report, measured: Measured
) -> list[Path]:
    """The JSON and the PNG. Raises OSError."""
    path = path_of(options.data_dir, quantised.name)
    if options.out is not None:
        path = options.out / path.name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, reports.as_json(report).encode() + b"\n")
    picture = path.with_suffix(".png")
    overall = report.agreement[ALL]
    plots.draw(
        picture,
        title=f"{report.quantised.name} ({report.quantised.scheme}) against {report.base.name}",
        worst=[(each.name, each.relative_mse) for each in report.tensors],
        kl=measured.kl,
        mean_kl=overall.kl.mean if overall.kl else None,
    )
    return [path, picture]


def _print(report: Report, written: list[Path], *, as_json: bool) -> None:
    """The tables, the verdict, and on the last line of stdout the JSON."""
    console = Console(stderr=as_json)
    if not as_json:
        for table in reports.tables(report):
            console.print(table)
    for line in report.failed:
        console.print(f"gate failed: {line}", style="bold red", highlight=False)
    if not report.failed:
        console.print(f"every gate of {report.quantised.scheme} holds", style="green")
    for path in written:
        console.print(f"written: {path}", highlight=False, soft_wrap=True)
    print(reports.as_json(report))
