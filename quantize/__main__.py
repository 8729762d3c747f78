"""`python -m quantize MODEL --scheme S`: the command line; the work is quantize/run.py's."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from models import folder, progress, store
from models.errors import ModelError
from models.memory import fit
from models.memory.fit import Fit, Place, Request
from models.progress import JsonLines
from models.refs import Artifact, QuantScheme
from quantize import result, told
from quantize.arguments import add_shared, parser_of, target_of
from quantize.budget import best, wish_for
from quantize.choices import BY_QUALITY, Choice, budget_of
from quantize.errors import OptionError
from quantize.measuring import texts
from quantize.measuring.texts import Text
from quantize.plan import GROUPS, Wish, check_suitable
from quantize.protocol import DATA_FREE, Method, QuantPlan
from quantize.run import Made, Quantisation
from quantize.sensitive import SENSITIVE
from quantize.source import tensors_of
from quantize.tables import Width

EPILOG = """\
schemes:
  int8              weights in 8 bits, a scale for each group (W8A16)
  int8-weight-only  weights in 8 bits, a scale for each row (W8A16)
  int8-w8a8         weights and activations in 8 bits (W8A8)
  int4              weights in 4 bits, a scale and a zero point for each group; the layers that
                    this costs most in 8 bits (W4A16)
  int4-down         the same with down_proj in 8 bits too
  fp8               weights and activations in 8-bit floating point; for GPUs
  nf4               weights in 4 bits, as bitsandbytes stores them
  bnb-int8          weights and activations in 8 bits, as bitsandbytes stores them

methods:
  rtn     round to nearest: the largest weight of a row or group sets its scale
  search  the scale of least squared error; slower, never worse by that measure
  (--calibrate looks at a text: gptq; so does `python -m quantize.calibrate`, with llmcompressor)

auto:SIZE takes the best of none, int8, int4-down and int4 whose weights fit into SIZE.

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
    options = _parser().parse_args(argv)
    view = JsonLines(sys.stdout)
    try:
        return _run(options, view)
    except ModelError as error:
        if options.json:
            view.event("error", kind=type(error).__name__, message=str(error))
        else:
            print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; run it again to go on with what is there", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace, view: JsonLines) -> int:
    source = store.resolve(options.model, options.data_dir)
    choice = _choice(options, source)
    if choice.scheme is QuantScheme.NONE:
        _tell_full(options, source, view)
        return 0
    with progress.shown(as_json=options.json) as meter:
        work = Quantisation(
            source=source,
            wish=_wish(options, choice),
            target=target_of(options, source, choice),
            data_dir=options.data_dir,
            progress=meter,
            shard_bytes=options.shard_size,
            is_replacing=options.replace,
            texts=_texts(options),
            calibrate=options.calibrate,
        )
        plan, _ = work.plan()
        fits = [_fit(source, plan, options.tp, memory) for memory in options.gpu]
        if options.json:
            view.event("plan", choice=str(choice), **told.plan_facts(plan, fits))
        else:
            console = Console(stderr=not options.dry_run, highlight=False)
            told.print_plan(plan, fits, console, choice=choice)
        made = None if options.dry_run else work.run()
    if made is not None:
        _tell(options, work, made, view)
    return 0


def _tell(options: argparse.Namespace, work: Quantisation, made: Made, view: JsonLines) -> None:
    outcome = "present" if made.report is None else "made"
    if options.json:
        view.event(
            "done",
            outcome=outcome,
            name=work.target.name,
            path=str(made.path),
            digest=made.digest,
            report=None if made.report is None else told.report_facts(made.report),
            quality=None if made.quality is None else made.quality.to_json(),
        )
        return
    verb = "here already:" if made.report is None else "made"
    print(f"{verb} {work.target.name}\n  {made.path}\n  {made.digest}")
    if made.report is not None:
        told.print_report(made.report, Console(highlight=False))
    if made.quality is not None:
        told.print_quality(made.quality, work.wish.scheme, Console(highlight=False))
    print(f"serve it: python -m serve --model {work.target.name if not options.out else made.path}")


def _choice(options: argparse.Namespace, source: Artifact) -> Choice:
    """What --scheme names, or what its budget comes to."""
    num_bytes = budget_of(options.scheme)
    if num_bytes is None:
        return Choice.parse(options.scheme)
    wish = _wish(options, Choice(scheme=QuantScheme.INT8))
    check_suitable(result.config_of(source.path))
    among = [Choice.parse(name) for name in options.among] if options.among else BY_QUALITY
    return best(tensors_of(source.path), result.config_of(source.path), wish, num_bytes, among)


def _tell_full(options: argparse.Namespace, source: Artifact, view: JsonLines) -> None:
    """The full weights are within the budget."""
    if options.json:
        view.event("plan", choice=str(QuantScheme.NONE))
    else:
        print(f"{source.name} fits as it is: nothing is made")


def _texts(options: argparse.Namespace) -> tuple[Text, ...]:
    """What is measured with: read before anything is made.

    Raises:
        OptionError: a text cannot be read.
    """
    if options.no_measure:
        return ()
    files: list[Path] = options.measure_text
    return texts.of_files(files) if files else texts.built_in()


def _method(options: argparse.Namespace, choice: Choice) -> Method | None:
    if options.calibrate is None:
        return Method(options.method) if options.method else None
    if choice.scheme not in (QuantScheme.INT8, QuantScheme.INT4):
        raise OptionError(f"--calibrate is for int8 and int4, not for {choice}.")
    if options.method:
        raise OptionError("--calibrate is a method of its own (gptq): leave --method out.")
    return Method.GPTQ


def _wish(options: argparse.Namespace, choice: Choice) -> Wish:
    wish = Wish(
        scheme=choice.scheme,
        method=_method(options, choice),
        group_size=options.group_size,
        tensor_parallel=options.tp,
        ignore=options.ignore,
        head=Width(options.lm_head) if options.lm_head else None,
        embeddings=Width(options.embeddings) if options.embeddings else None,
        is_symmetric=options.symmetric,
    )
    if options.sensitive is not None:
        return replace(wish, sensitive=options.sensitive)
    return wish_for(choice, wish)


def _fit(source: Artifact, plan: QuantPlan, num_gpus: int, memory_bytes: int) -> Fit:
    config = json.loads((source.path / folder.CONFIG).read_bytes())
    request = Request(config=config, weights_bytes=plan.output_bytes, num_gpus=num_gpus)
    return fit.fit(request, plan.scheme, Place.GPU, memory_bytes)


def _parser() -> argparse.ArgumentParser:
    parser = parser_of(
        "python -m quantize",
        "A full model in, a smaller one out: streamed, whatever its size.",
        EPILOG,
    )
    add = parser.add_argument
    add(
        "--scheme",
        required=True,
        type=_scheme,
        metavar="SCHEME",
        help="what the weights become; auto:SIZE takes the best that fits",
    )
    add(
        "--among",
        nargs="+",
        metavar="SCHEME",
        help="what auto:SIZE takes from, the best first (default: none, int8, int4-..., int4)",
    )
    add(
        "--method",
        choices=DATA_FREE,
        help="how scales are chosen (default: search for int4, rtn for the others)",
    )
    add(
        "--group-size",
        type=int,
        choices=GROUPS,
        default=GROUPS[-1],
        help="of int8 and int4: columns that share a scale (default: %(default)s)",
    )
    add(
        "--lm-head",
        nargs="?",
        choices=[Width.EIGHT, Width.FULL],
        const=Width.EIGHT,
        help="bits of the output head (default: 8 with int8 and int4 where it can be, else full)",
    )
    add("--embeddings", choices=[*Width], help="the same of the embedding; 4 with int4 only")
    add(
        "--sensitive",
        metavar="REGEX",
        help=f"of int4: layers in whose names it is found have 8 bits (default: {SENSITIVE})",
    )
    add("--symmetric", action="store_true", help="of int4: no zero points")
    add("--gpu", type=_memory, nargs="+", default=[], metavar="SIZE", help="would it fit: 24GB")
    add("--shard-size", type=_memory, default=4 * 10**9, metavar="SIZE", help="(default: 4GB)")
    add(
        "--calibrate",
        metavar="FILE",
        help="of int8 and int4: round by what a text needs (GPTQ): .txt, .jsonl, or `self` for "
        "what the model writes itself",
    )
    add("--no-measure", action="store_true", help="do not measure what it cost")
    add(
        "--measure-text",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="measure with this text; may be repeated (default: English, Chinese and code of ours)",
    )
    add_shared(parser)
    return parser


def _scheme(text: str) -> str:
    try:
        if budget_of(text) is None and Choice.parse(text).scheme is QuantScheme.NONE:
            raise OptionError("none is what the model is already")
    except OptionError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _memory(text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None or not float(match[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 24GB or 24GiB")
    return int(float(match[1]) * _UNITS[match[2].lower()])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
