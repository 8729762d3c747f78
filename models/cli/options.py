"""Options that all commands share: the data directory, --json, and the form of --help."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from models import home

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no public name
Run: TypeAlias = Callable[[argparse.Namespace], int]
_UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}
MAX_SECRET_BYTES = 64 << 10
"""Most of a file that holds a password or a token."""
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.ASCII)


def command(
    commands: Commands, name: str, *, text: str, run: Run, epilog: str = ""
) -> argparse.ArgumentParser:
    """A new command with --json and --data-dir.

    Args:
        commands: where it is added.
        name: the word that people type.
        text: one line, in the list of commands and at the top of its --help.
        run: options in, exit code out.
        epilog: examples and exit codes, shown as written (indentation of the source is removed).
    """
    parser = commands.add_parser(
        name,
        help=text,
        description=text[:1].upper() + text[1:] + ".",
        epilog=textwrap.dedent(epilog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print JSON on stdout")
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=default_data_dir(),
        metavar="DIR",
        help="where weights live (default: %(default)s)",
    )
    parser.set_defaults(run=run)
    return parser


def default_data_dir() -> Path:
    """The server's own default; serve/config.py is above this package, so it is read again here."""
    data_dir = os.environ.get("INTRAMURAL_DATA_DIR")
    if data_dir:
        return Path(data_dir)
    return home.xdg("XDG_DATA_HOME", ".local/share")


def data_dir_flag(data_dir: Path) -> str:
    """`` --data-dir DIR`` for a command that is shown; empty where it is the server's default."""
    if data_dir == default_data_dir():
        return ""
    return f" --data-dir {shlex.quote(str(data_dir))}"


def size_in_bytes(text: str) -> int:
    """Bytes of a size as people write it, ``24GB`` or ``1.5 TiB``; or argparse's error."""
    match = _SIZE.fullmatch(text.strip().lower())
    if match is None or match[2] not in _UNITS or not float(match[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 24GB, 700MB or 24GiB")
    return int(float(match[1]) * _UNITS[match[2]])


def whole_number(text: str) -> int:
    """A whole number above 0, or argparse's error."""
    if not (text.isascii() and text.isdigit()) or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)
