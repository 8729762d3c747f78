"""Measure engines, servers, several systems in turn, and what a quantisation cost; try a model.

docs/benchmarks.md explains every figure. The last line of stdout is always one JSON document.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks import diff, planner
from benchmarks.agent import command as agent
from benchmarks.compare import command as compare
from benchmarks.engine import command as engine
from benchmarks.quality import command as quality
from benchmarks.serving import command as serving
from benchmarks.trial import command as trial
from models import command_line


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = command_line.Parser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (engine, serving, compare, agent, diff, planner, quality, trial):
        command.add_command(commands)
    options = parser.parse_args(arguments)
    options.command_line = arguments
    code: int = options.run(options)
    return code


if __name__ == "__main__":
    sys.exit(command_line.run(main))
