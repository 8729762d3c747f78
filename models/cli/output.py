"""Standard output that any file name can be written to, as it is.

Names on Linux are bytes. One that is no UTF-8 reaches us with surrogates in it, which an encoder
refuses: a name in an answer would end the command with a traceback. So would one with brackets,
where they are read as markup.
"""

from __future__ import annotations

import io
import sys

from rich.console import Console


def accept_any_name() -> None:
    """Write what the terminal cannot show as escapes, as stderr does."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def console(*, stderr: bool = False) -> Console:
    """A console that prints texts as they are: brackets are no markup, and colons no emoji."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)
