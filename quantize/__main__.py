"""`python -m quantize MODEL --scheme S`: the command line; the work is quantize/write/run.py's."""

from __future__ import annotations

import argparse
import json
import re
import sys
import textwrap
from collections.abc import Sequence

from models import command_line, folder, progress, store
from models.cli import output
from models.cli.options import data_dir_flag
from models.errors import HomelessError, ModelError
from models.memory import fit
from models.memory.fit import Fit, Place, Request
from models.progress import JsonLines
from models.refs import Artifact, QuantScheme
from quantize import ensure
from quantize.cli import report_tables
from quantize.cli.options import (
    AS_IT_IS,
    add_shared,
    add_storing,
    add_texts,
    choice_of,
    parser_of,
    quant_options,
    target_of,
    texts_of,
)
from quantize.plan.choices import BY_QUALITY, SUMMARIES
from quantize.plan.scheme_plan import SchemePlan
from quantize.write.result import QuantisedModel
from quantize.write.run import Quantisation

EPILOG = """\
{schemes}
methods:
  rtn     round to nearest: the largest weight of a row or group sets its scale
  search  the scale of least squared error; slower, never worse by that measure
  (--calibrate looks at a text: gptq; so does `python -m quantize.calibrate`, with llmcompressor)

auto:SIZE takes the best of {by_quality} whose weights fit into SIZE.

examples:
  python -m quantize qwen2.5-7b --scheme int8             into the store, as qwen2.5-7b--int8
  python -m quantize qwen2.5-7b --scheme int4 --tp 2      so that two GPUs can share it
  python -m quantize ./my-model --scheme int4 --out ./my-model-int4
  python -m quantize qwen2.5-7b --scheme auto:6GB         the best that fits into 6 GB
  python -m quantize qwen2.5-7b --scheme int4 --dry-run --gpu 24GB   reads no weights
  python -m quantize qwen2.5-7b --scheme int4 --calibrate letters.txt
  python -m quantize demo --scheme int4 --ignore 'layers\\.0\\.'      keep the first layer as it is

What it cost is measured: the model before and after read a text, layer by layer, and how far their
next tokens are apart goes into manifest.json (--no-measure leaves it out; docs/quality.md).

A run that was stopped goes on where it was: run it again. Its result has the same digest.
Nothing that is half made can be loaded: the model appears in one step when it is whole.

with --json each line of stdout is an object; "event" says which:
  plan      sizes in bytes, layers that stay and why
  progress  phase, done_bytes, total_bytes, rate_bytes_per_s, eta_s (null: not known)
  notice    message
  done      outcome (made present), name, path, digest, report, quality (null: not known)
  error     kind, message

exit codes: 0 the model is there; 2 it is not: the message says why; 130 interrupted
"""
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(GB|GiB)", re.IGNORECASE)
_UNITS = {"gb": 10**9, "gib": 1 << 30}


def main(argv: Sequence[str]) -> int:
    """Run it and return the exit code."""
    output.accept_any_name()
    view = JsonLines(sys.stdout)
    try:
        options = _parsed(argv)
    except HomelessError as error:
        command_line.complain(str(error))
        return command_line.REFUSED
    try:
        return _run(options, view)
    except ModelError as error:
        report_tables.print_error(error, view, as_json=options.json)
        return command_line.REFUSED
    except KeyboardInterrupt:
        print("interrupted; run it again to go on with what is there", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace, view: JsonLines) -> int:
    source = store.resolve(options.model, options.data_dir)
    choice = choice_of(options, source)
    if choice.scheme is QuantScheme.NONE:
        _print_full(options, source, view)
        return 0
    is_replacing: bool = options.replace
    if options.if_needed:
        found = ensure.find(source.name, choice, options.data_dir, full=source.path)
        if found.artifact is not None:
            _print_present(options, found.artifact, view)
            return 0
        is_replacing = found.is_stale
    with progress.shown(as_json=options.json) as meter:
        work = Quantisation(
            source=source,
            options=quant_options(options, choice),
            target=target_of(options, source, choice),
            data_dir=options.data_dir,
            progress=meter,
            shard_bytes=options.shard_size,
            is_replacing=is_replacing,
            texts=() if options.no_measure else texts_of(options.measure_text),
            calibrate=options.calibrate,
        )
        plan, _ = work.plan()
        fits = [_fit(source, plan, options.tp, memory) for memory in options.gpu]
        if options.json:
            view.event("plan", choice=str(choice), **report_tables.plan_facts(plan, fits))
        else:
            console = output.console(stderr=not options.dry_run)
            report_tables.print_plan(plan, fits, console, choice=choice)
        quantised = None if options.dry_run else work.run()
    if quantised is not None:
        _print_result(options, work, quantised, view)
    return 0


def _print_result(
    options: argparse.Namespace, work: Quantisation, model: QuantisedModel, view: JsonLines
) -> None:
    outcome = "present" if model.report is None else "made"
    if options.json:
        view.event(
            "done",
            outcome=outcome,
            name=work.target.name,
            path=str(model.path),
            digest=model.digest,
            report=None if model.report is None else report_tables.report_facts(model.report),
            quality=None if model.quality is None else model.quality.to_json(),
        )
        return
    verb = "here already:" if model.report is None else "made"
    print(f"{verb} {work.target.name}\n  {model.path}\n  {model.digest}")
    if model.report is not None:
        report_tables.print_report(model.report, output.console())
    if model.quality is not None:
        report_tables.print_quality(model.quality, work.options.scheme, output.console())
    where = model.path if options.out else work.target.name + data_dir_flag(options.data_dir)
    print(f"serve it: python -m serve --model {where}")


def _print_present(options: argparse.Namespace, artifact: Artifact, view: JsonLines) -> None:
    """Nothing is to be made: a server would take what is there."""
    digest = ensure.digest_of(artifact.path)
    if options.json:
        facts = {"name": artifact.name, "path": str(artifact.path), "digest": digest}
        view.event("done", outcome="present", **facts, report=None, quality=None)
    else:
        print(f"here already: {artifact.name}\n  {artifact.path}\n  {digest}")


def _print_full(options: argparse.Namespace, source: Artifact, view: JsonLines) -> None:
    """The full weights are meant, or within the budget."""
    if options.json:
        view.event("plan", choice=str(QuantScheme.NONE))
    else:
        print(f"{source.name} is taken as it is: nothing is made")


def _fit(source: Artifact, plan: SchemePlan, num_gpus: int, memory_bytes: int) -> Fit:
    config = json.loads((source.path / folder.CONFIG).read_bytes())
    request = Request(config=config, weights_bytes=plan.output_bytes, num_gpus=num_gpus)
    return fit.fit(request, plan.scheme, Place.GPU, memory_bytes)


def _parsed(argv: Sequence[str]) -> argparse.Namespace:
    parser = _parser()
    options = parser.parse_args(argv)
    if options.scheme in AS_IT_IS and not options.if_needed:
        parser.error(
            f"argument --scheme: {options.scheme} is what the model is already. Name a scheme to "
            "make, such as int8; --if-needed takes it, and makes nothing"
        )
    if options.if_needed and (options.out is not None or options.replace):
        parser.error("--if-needed decides itself and looks in the store: no --out, no --replace")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = parser_of(
        "python -m quantize",
        "A full model in, a smaller one out: streamed, whatever its size.",
        _epilog(),
    )
    add_storing(parser)
    add = parser.add_argument
    add("--gpu", type=_memory, nargs="+", default=[], metavar="SIZE", help="would it fit: 24GB")
    add("--shard-size", type=_memory, default=4 * 10**9, metavar="SIZE", help="(default: 4GB)")
    add(
        "--calibrate",
        metavar="FILE",
        help="of int8 and int4: round by what a text needs (GPTQ): .txt, .jsonl, or `self` for "
        "what the model writes itself",
    )
    add(
        "--if-needed",
        action="store_true",
        help="make nothing where the store has what a server would take, and replace what is out "
        "of date; then `none` and `auto` are taken, and make nothing",
    )
    add("--no-measure", action="store_true", help="do not measure what it cost")
    add_texts(parser, "--measure-text")
    add_shared(parser)
    return parser


def _epilog() -> str:
    width = max(map(len, SUMMARIES)) + 2
    lines = [
        textwrap.fill(
            f"{name:{width}}{summary}",
            98,
            initial_indent="  ",
            subsequent_indent=" " * (width + 2),
        )
        for name, summary in SUMMARIES.items()
    ]
    *most, last = map(str, BY_QUALITY)
    return EPILOG.format(
        schemes="\n".join(["schemes:", *lines, ""]), by_quality=f"{', '.join(most)} and {last}"
    )


def _memory(text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None or not float(match[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 24GB or 24GiB")
    return int(float(match[1]) * _UNITS[match[2].lower()])


if __name__ == "__main__":
    sys.exit(command_line.run(main))
