"""`python -m models COMMAND`: dispatch only; the commands are in models/cli."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from models import command_line
from models.cli import bundle, fit, listing, output, pull, show, storage, trust
from models.errors import ModelError

GROUPS = (listing, show, pull, trust, bundle, storage, fit)

EPILOG = """\
where models live:
  DIR/models/NAME holds one model: config.json, *.safetensors and the tokenizer's files.
  DIR is --data-dir, or INTRAMURAL_DATA_DIR, or ~/.local/share/intramural.

examples:
  python -m models list                what the catalog knows, what is here, and what fits
  python -m models pull qwen2-0.5b     fetch it from the Hub, checked and pinned
  python -m models fit qwen2.5-7b --gpu 24GB   what it costs in memory, and what fits
  python -m models verify qwen2-0.5b   are its bytes the ones that were meant
  python -m models show qwen2-0.5b     one model: licence, size, where its folder belongs
  python -m models show ./my-model     would this folder be served? names what is wrong with it

exit codes: 0 done; 1 checked, and not in order; 2 cannot be done: the message says why
"""


def main(argv: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    output.accept_any_name()
    try:
        options = _parser().parse_args(argv)
        code: int = options.run(options)
    except ModelError as error:
        command_line.complain(str(error))
        return command_line.REFUSED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = command_line.Parser(
        prog="python -m models",
        description="Which models are known, and which are on this machine.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for group in GROUPS:
        group.add_commands(commands)
    return parser


if __name__ == "__main__":
    sys.exit(command_line.run(main))
