"""`python -m benchmarks`: measurements that are commands. The others are modules of their own."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from benchmarks.quality import command as quality


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    quality.add_command(parser.add_subparsers(metavar="COMMAND", required=True))
    options = parser.parse_args(argv)
    code: int = options.run(options)
    return code


if __name__ == "__main__":
    sys.exit(main())
