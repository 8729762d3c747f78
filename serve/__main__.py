"""`python -m serve`."""

from __future__ import annotations

import sys

from models import command_line
from serve.cli.main import main

if __name__ == "__main__":
    sys.exit(command_line.run(main))
