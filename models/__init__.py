"""Weights: which exist, where they are, whether they are whole. No torch outside models/demo.

Every command of ours imports this package first, so here is where a wrong Python is named.
"""

import sys

if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    # Joined with no f-string: the oldest Pythons read this, too.
    found = ".".join(map(str, sys.version_info[:2])) + " (" + sys.executable + ")"
    sys.exit(
        "error: this is Python " + found + "; Intramural needs 3.11, 3.12 or 3.13. In a checkout "
        "`make setup` finds one and makes .venv: run .venv/bin/python."
    )
