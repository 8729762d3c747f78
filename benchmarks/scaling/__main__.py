"""`python -m benchmarks.scaling`: see command.py."""

from __future__ import annotations

import sys

from benchmarks.scaling.command import main
from models import command_line

if __name__ == "__main__":
    sys.exit(command_line.run(main))
