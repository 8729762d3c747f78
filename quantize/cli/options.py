"""How weights are to be stored, as the command line asks: its options, and the wish they make."""

from __future__ import annotations

import argparse
from dataclasses import replace

from models.refs import Artifact, QuantScheme
from quantize.errors import OptionError
from quantize.plan.budget import best, wish_for
from quantize.plan.choices import BY_QUALITY, Choice, budget_of
from quantize.plan.scheme_plan import GROUPS, Wish, check_suitable
from quantize.plan.sensitive import SENSITIVE
from quantize.plan.tables import Width
from quantize.protocol import DATA_FREE, Method
from quantize.write import result
from quantize.write.source import tensors_of


def add_storing(parser: argparse.ArgumentParser) -> None:
    """The options."""
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


def choice_of(options: argparse.Namespace, source: Artifact) -> Choice:
    """What --scheme names, or what its budget comes to.

    Raises:
        OptionError: nothing is so small, or it does not go together.
        UnsuitableModelError: the model cannot be quantised.
    """
    num_bytes = budget_of(options.scheme)
    if num_bytes is None:
        return Choice.parse(options.scheme)
    if options.sensitive is not None or options.method is not None:
        raise OptionError("auto:SIZE chooses itself: leave --sensitive and --method out.")
    wish = wish_of(options, Choice(scheme=QuantScheme.INT8))
    check_suitable(result.config_of(source.path))
    among = [Choice.parse(name) for name in options.among] if options.among else BY_QUALITY
    return best(tensors_of(source.path), result.config_of(source.path), wish, num_bytes, among)


def wish_of(options: argparse.Namespace, choice: Choice) -> Wish:
    """All that is asked for.

    Raises:
        OptionError: it does not go together.
    """
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
        if budget_of(text) is None and Choice.parse(text).scheme is QuantScheme.NONE:
            raise OptionError("none is what the model is already")
    except OptionError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text
