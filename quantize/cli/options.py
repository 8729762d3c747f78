"""The options of the command lines, and the quantisation that they ask for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from models import command_line, home
from models.cli.options import default_data_dir
from models.refs import Artifact, QuantScheme
from models.store import DirectoryStore
from quantize.ensure import artifact_name
from quantize.errors import OptionError
from quantize.measuring import texts
from quantize.measuring.texts import Text
from quantize.plan.choices import BY_QUALITY, SENSITIVE, Choice, budget_of
from quantize.plan.planning import best, check_suitable
from quantize.plan.scheme_plan import GROUP_SIZES, QuantOptions
from quantize.plan.tables import Width
from quantize.protocol import DATA_FREE, Method
from quantize.write import result
from quantize.write.source import tensors_of

AS_IT_IS = ("none", "auto")
"""Words of ``--quant`` with which nothing is made. Whoever quantises means none of them."""


def parser_of(prog: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """A parser that shows its epilog as it is written, and guesses no option from its beginning."""
    return command_line.Parser(
        prog=prog,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_shared(parser: argparse.ArgumentParser) -> None:
    """Add what `python -m quantize` and `python -m quantize.calibrate` both take."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a name in the store, or a folder")
    add("--tp", type=positive, default=1, metavar="N", help="GPUs that must be able to share it")
    add("--ignore", metavar="REGEX", help="layers in whose names it is found stay as they are")
    add("--out", type=Path, metavar="FOLDER", help="(default: NAME--SCHEME in the store)")
    add("--dry-run", action="store_true", help="print the plan, and do nothing")
    add("--replace", action="store_true", help="take the place of what has the name now")
    add("--json", action="store_true", help="print JSON on stdout")
    add_data_dir(parser)


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """Add where the store lies."""
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=default_data_dir(),
        metavar="DIR",
        help="where weights live (default: %(default)s)",
    )


def add_texts(parser: argparse.ArgumentParser, flag: str) -> None:
    """Add the files to measure with, under the name of ``flag``."""
    parser.add_argument(
        flag,
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="measure with this text; may be repeated (default: English, Chinese and code of ours)",
    )


def texts_of(files: Sequence[Path]) -> tuple[Text, ...]:
    """The texts of these files; those of ours where there is none.

    Raises:
        OptionError: a file cannot be read.
    """
    return texts.of_files(files) if files else texts.built_in()


def positive(text: str) -> int:
    """A whole number above 0, or argparse's error."""
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def target_of(options: argparse.Namespace, full: Artifact, choice: Choice) -> Path:
    """The folder of the result.

    Raises:
        OptionError: it lies in the model itself, or is a link.
    """
    if options.out is None:
        name = artifact_name(full.name, choice)
        return DirectoryStore(options.data_dir).path_of(name)
    target: Path = home.expanded(options.out).absolute()
    if target.is_symlink():
        raise OptionError(f"--out {options.out} is a link. Name the folder that it leads to.")
    if target == full.path or full.path in target.parents:
        raise OptionError(f"--out {options.out} lies in the model itself. Name another folder.")
    return target


def add_storing(parser: argparse.ArgumentParser) -> None:
    """Add how weights are to be stored."""
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
        help="what auto:SIZE takes from, the best first "
        f"(default: {' '.join(map(str, BY_QUALITY))})",
    )
    add(
        "--method",
        choices=DATA_FREE,
        help="how scales are chosen (default: search for int4, rtn for the others)",
    )
    add(
        "--group-size",
        type=int,
        choices=GROUP_SIZES,
        default=GROUP_SIZES[-1],
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


def choice_of(options: argparse.Namespace, source: Artifact) -> Choice:
    """The choice that --scheme names, or that its budget comes to.

    Raises:
        OptionError: nothing is so small, or it does not go together.
        UnsuitableModelError: the model cannot be quantised.
    """
    if options.scheme in AS_IT_IS:
        return Choice(scheme=QuantScheme.NONE)
    num_bytes = budget_of(options.scheme)
    if num_bytes is None:
        return Choice.parse(options.scheme)
    if options.sensitive is not None or options.method is not None:
        raise OptionError("auto:SIZE chooses itself: leave --sensitive and --method out.")
    config = result.config_of(source.path)
    check_suitable(config)
    among = [Choice.parse(name) for name in options.among] if options.among else BY_QUALITY
    like = quant_options(options, Choice(scheme=QuantScheme.INT8))
    return best(tensors_of(source.path), config, like, num_bytes, among)


def quant_options(options: argparse.Namespace, choice: Choice) -> QuantOptions:
    """The quantisation that the options ask for.

    Raises:
        OptionError: it does not go together.
    """
    quant = QuantOptions(
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
        return replace(quant, sensitive=options.sensitive)
    return quant.with_choice(choice)


def _method(options: argparse.Namespace, choice: Choice) -> Method | None:
    if options.calibrate is None:
        return Method(options.method) if options.method else None
    if choice.scheme not in (QuantScheme.INT8, QuantScheme.INT4):
        raise OptionError(f"--calibrate is for int8 and int4, not for {choice}.")
    if options.method:
        raise OptionError("--calibrate is a method of its own (gptq): leave --method out.")
    return Method.GPTQ


def _scheme(text: str) -> str:
    try:
        if text not in AS_IT_IS and budget_of(text) is None:
            Choice.parse(text)
    except OptionError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text
