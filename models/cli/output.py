"""Standard output that any file name can be written to.

Names on Linux are bytes. One that is no UTF-8 reaches us with surrogates in it, which an encoder
refuses: a name in an answer would end the command with a traceback.
"""

from __future__ import annotations

import io
import sys


def accept_any_name() -> None:
    """Write what the terminal cannot show as escapes, as stderr does."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
