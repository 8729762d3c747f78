"""What `python -m quantize` and `python -m quantize.calibrate` both ask for."""

from __future__ import annotations

import argparse
from pathlib import Path

from models.cli.options import default_data_dir
from models.refs import Artifact
from models.store import DirectoryStore
from quantize.ensure import artifact_name
from quantize.errors import OptionError
from quantize.plan.choices import Choice


def parser_of(prog: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """A parser that takes MODEL, and that is to end with ``add_shared``."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("model", metavar="MODEL", help="a name in the store, or a folder")
    return parser


def add_shared(parser: argparse.ArgumentParser) -> None:
    """What both may be told of the model, of where the result goes, and of how to say so."""
    add = parser.add_argument
    add("--tp", type=positive, default=1, metavar="N", help="GPUs that must be able to share it")
    add("--ignore", metavar="REGEX", help="layers in whose names it is found stay as they are")
    add("--out", type=Path, metavar="FOLDER", help="(default: NAME--SCHEME in the store)")
    add("--dry-run", action="store_true", help="print the plan, and do nothing")
    add("--replace", action="store_true", help="take the place of what has the name now")
    add("--json", action="store_true", help="print JSON on stdout")
    add(
        "--data-dir",
        type=Path,
        default=default_data_dir(),
        metavar="DIR",
        help="where weights live (default: %(default)s)",
    )


def positive(text: str) -> int:
    """A whole number above 0, or argparse's error."""
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def target_of(options: argparse.Namespace, full: Artifact, choice: Choice) -> Path:
    """The folder of the result.

    Raises:
        OptionError: it lies in the model itself.
    """
    if options.out is None:
        name = artifact_name(full.name, choice)
        return DirectoryStore(options.data_dir).path_of(name)
    target: Path = options.out.expanduser().absolute()
    if target == full.path or full.path in target.parents:
        raise OptionError(f"--out {options.out} lies in the model itself. Name another folder.")
    return target
