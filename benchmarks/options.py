"""Options that several commands share: engines and schemes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import get_args

from models.refs import QuantScheme
from quantize.plan.scheme_support import EngineName

ENGINES: tuple[EngineName, ...] = tuple(sorted(get_args(EngineName)))
"""Engines that compute with real weights; the first is the default."""


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add --engine: one of ``ENGINES``."""
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default=ENGINES[0],
        help="that runs the model (default: %(default)s)",
    )


def add_schemes(parser: argparse.ArgumentParser, default: Sequence[str], text: str) -> None:
    """Add --quant: schemes, at least one.

    Args:
        default: where none is named.
        text: what is done with them; the default is added to it.
    """
    parser.add_argument(
        "--quant",
        nargs="+",
        choices=[str(scheme) for scheme in QuantScheme],
        default=[*default],
        metavar="SCHEME",
        help=f"{text} (default: {' '.join(default)})",
    )
