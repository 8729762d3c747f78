"""`python -m benchmarks quality`: the command line of the quality report."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import workbench
from benchmarks.options import add_engine
from benchmarks.quality import llama, plots, table
from benchmarks.quality import report as documents
from benchmarks.quality.agreement import ALL
from benchmarks.quality.engines import QualityOptions
from benchmarks.quality.making import read_making
from benchmarks.quality.measuring import measure
from benchmarks.quality.report import Report
from benchmarks.quality.sequences import read_items
from benchmarks.quality.table import Row
from models import command_line, store
from models.cli import output
from models.cli.options import Commands, command
from models.durable import write_whole
from models.errors import ModelError
from models.progress import shown
from models.refs import Artifact, QuantScheme
from models.reports import path_of
from quantize.measuring import gates, texts
from serve.environment import harden_environment
from serve.errors import ServeError

FAILED, REFUSED = 1, 2
_WIDTH = 130
"""Columns of a table that goes to a file."""

DEMO_ITEMS = store.DEMO_WEIGHTS.parent / "eval.jsonl"
ITEMS = Path(__file__).with_name("questions.jsonl")
_EPILOG = """
    examples:
      python -m benchmarks quality demo demo--int8
      python -m benchmarks quality qwen2-7b qwen2-7b--int4 --text handbook.txt --gate
      python -m benchmarks quality ./full ./int8 ./int4 --llama-cpp-python ~/llama/bin/python
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
    add = parser.add_argument
    add("base", metavar="BASE", help="the full model: a name or a folder")
    add("quantised", nargs="+", metavar="QUANTISED", help="smaller ones that were made from it")
    add(
        "--text",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="measure on this UTF-8 text; may be given several times (default: built-in texts in "
        "English and Chinese and of code; none for the built-in model, which knows its own alone)",
    )
    add(
        "--items",
        type=Path,
        metavar="FILE",
        help="questions as JSON lines (default: built-in ones; the built-in model has its own)",
    )
    add("--no-items", action="store_true", help="measure on texts alone")
    add_engine(parser)
    add("--window", type=int, default=512, help="tokens of context for a text (default: 512)")
    add(
        "--max-tokens",
        type=int,
        default=1024,
        help="most tokens to score of each source; of a text, its first (default: %(default)s)",
    )
    add(
        "--streams",
        type=int,
        nargs="*",
        default=[1, 8],
        help="measure the speed at so many streams; nothing after it: no speed (default: 1 8)",
    )
    _add_llama(parser)
    _add_output(parser)


def _add_llama(parser: argparse.ArgumentParser) -> None:
    """llama.cpp's files beside ours."""
    parser.add_argument(
        "--llama-cpp-python",
        type=Path,
        metavar="PATH",
        help="an interpreter that has llama-cpp-python and gguf: measure llama.cpp's q8_0, q4_0 "
        "and q4_k_m of the base on the same tokens",
    )
    parser.add_argument(
        "--gguf",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="instead of those: the base as GGUF, then what was made of it",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    """Add the options of what is printed, judged and written."""
    parser.add_argument(
        "--made",
        type=Path,
        metavar="FILE",
        help="what `python -m quantize --json` printed, for its time and memory; of one model",
    )
    parser.add_argument(
        "--gate", action="store_true", help="exit with 1 if the quality is below a scheme's gate"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write there (default: DATA_DIR/reports)"
    )


def judged(report: Report, *, is_own_evaluation: bool) -> Report:
    """The report with the gates that fail, over all that was measured.

    Args:
        report: measured.
        is_own_evaluation: the questions are what the base model was made to answer; of others
            there are too few for a gate.
    """
    gate = gates.gate_of(QuantScheme(report.quantised.scheme), report.num_weights)
    failed = gates.failures(gate, report.agreement[ALL].figures)
    base, quantised = report.base.evaluation, report.quantised.evaluation
    if base and quantised and is_own_evaluation:
        lost = base.percent - quantised.percent
        if not lost <= gate.max_points_lost:
            limit = f"{gate.max_points_lost:g}"
            failed.append(f"the evaluation lost {lost:.2f} points, more than {limit}")
    return replace(report, failed=tuple(failed))


def _run(options: argparse.Namespace) -> int:
    harden_environment()
    try:
        reports, rows, distances = _measured(options)
    except (ModelError, ServeError, ValueError, OSError) as error:
        command_line.complain(command_line.words_of(error))
        return REFUSED
    try:
        written = [
            path
            for report, kl in zip(reports, distances, strict=True)
            for path in _write(options, report, kl)
        ]
    except OSError as error:  # what was measured is printed all the same
        _print(reports, rows, [], as_json=options.json)
        command_line.complain(command_line.words_of(error))
        return REFUSED
    _print(reports, rows, written, as_json=options.json)
    if options.gate and any(report.failed for report in reports):
        return FAILED
    return 0


def _measured(
    options: argparse.Namespace,
) -> tuple[list[Report], list[Row], list[Sequence[float]]]:
    """The reports with their verdicts, all rows of the table, and each report's KL divergences."""
    base = store.resolve(options.base, options.data_dir)
    quantised = [store.resolve(name, options.data_dir) for name in options.quantised]
    if len({artifact.name for artifact in quantised}) < len(quantised):
        raise ValueError("two of the models have one name, and so would their reports")
    run_options = _run_options(options, base, quantised)
    with shown(as_json=options.json) as progress:
        results = asyncio.run(measure(base, quantised, run_options, progress))
        is_own = base.name == store.DEMO and options.items is None
        reports = [
            judged(measured.report, is_own_evaluation=is_own) for measured in results.measured
        ]
        rows = [table.of_report(report) for report in reports]
        python = options.llama_cpp_python
        if python is not None:
            files = options.gguf or llama.files_of(base, python, workbench.cache(), progress)
            rows += llama.rows(files, results.forced, python, progress)
    return reports, rows, [measured.kl for measured in results.measured]


def _run_options(
    options: argparse.Namespace, base: Artifact, quantised: Sequence[Artifact]
) -> QualityOptions:
    """The options of the run. Raises ValueError, OSError: a file is not what it should be."""
    if options.gguf and (options.llama_cpp_python is None or len(options.gguf) < 2):
        raise ValueError("--gguf takes the full file and others, and needs --llama-cpp-python")
    if options.made is not None and len(quantised) > 1:
        raise ValueError("--made is of one model, and several are to be measured")
    if options.llama_cpp_python is not None:
        llama.check(options.llama_cpp_python)
    is_demo = base.name == store.DEMO
    items = options.items or (DEMO_ITEMS if is_demo else ITEMS)
    chosen = [(text.name, text.content) for text in texts.of_files(options.text)]
    own = [] if is_demo else [(text.name, text.content) for text in texts.built_in()]
    made_file = options.made
    return QualityOptions(
        engine=options.engine,
        items=() if options.no_items else read_items(items),
        texts=chosen or own,
        window=options.window,
        max_tokens=options.max_tokens,
        streams=options.streams,
        making={}
        if made_file is None
        else {quantised[0].path: read_making(made_file, quantised[0].path)},
    )


def _write(options: argparse.Namespace, report: Report, kl: Sequence[float]) -> list[Path]:
    """The JSON and the PNG. Raises OSError."""
    path = path_of(options.data_dir, report.quantised.name)
    if options.out is not None:
        path = options.out / path.name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, documents.as_json(report).encode() + b"\n")
    picture = path.with_suffix(".png")
    plots.draw(
        picture,
        title=f"{report.quantised.name} ({report.quantised.scheme}) against {report.base.name}",
        worst=[(error.name, error.relative_mse) for error in report.tensors],
        kl=kl,
        mean_kl=report.agreement[ALL].kl.mean,
    )
    return [path, picture]


def _print(
    reports: Sequence[Report], rows: Sequence[Row], written: Sequence[Path], *, as_json: bool
) -> None:
    """The tables, the verdicts, and on the last line of stdout the table as JSON."""
    console = output.console(stderr=as_json)
    if not console.is_terminal:
        console.width = max(console.width, _WIDTH)
    base = reports[0].base
    if not as_json:
        if len(reports) == 1:
            for report_table in documents.tables(reports[0]):
                console.print(report_table)
        if len(rows) > 1:
            console.print(table.table(base.name, rows, base.evaluation))
    for report in reports:
        name = report.quantised.name
        for line in report.failed:
            console.print(f"{name}: gate failed: {line}", style="bold red", highlight=False)
        if not report.failed:
            scheme = report.quantised.scheme
            console.print(f"{name}: every gate of {scheme} holds", style="green", highlight=False)
    for path in written:
        console.print(f"written: {path}", highlight=False, soft_wrap=True)
    print(table.as_json(base.name, rows))
