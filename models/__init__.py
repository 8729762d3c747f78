"""Weights: which exist, where they are, whether they are whole. No torch outside models/demo.

Every command of ours imports this package first, so here is where a wrong Python is named.
"""

import sys

if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    sys.exit(  # no f-string: the oldest Pythons read this, too
        "error: this is Python {}.{} ({}); Intramural needs 3.11, 3.12 or 3.13. In a checkout "
        "`make setup` finds one and makes .venv: run .venv/bin/python.".format(
            sys.version_info[0], sys.version_info[1], sys.executable
        )
    )
