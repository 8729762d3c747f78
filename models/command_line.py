"""A command line's surroundings: standard streams that are closed, full or cut short.

A descriptor that is closed at the start would be given to the next file that is opened, a socket or
a model's weights, and what is printed would be written into it. A reader that has enough
(``| head -1``) ends the command quietly; a stream that takes no more is an error in one line.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Sequence

BROKEN_PIPE = 141
"""The exit code of a program that SIGPIPE ended, as shells have it (128 + 13)."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})
_closed: set[int] = set()


def run(main: Callable[[Sequence[str]], int]) -> int:
    """Run a command with the process's arguments; returns its exit code."""
    open_closed_streams()
    try:
        try:
            code = main(sys.argv[1:])
        except SystemExit as end:  # argparse's
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
        sys.stdout.flush()
    except BrokenPipeError:
        code = BROKEN_PIPE
    except OSError as error:
        if error.filename is not None or error.errno not in _FULL:
            raise
        code = 1
        with contextlib.suppress(OSError):
            print(f"error: the output cannot be written: {error.strerror}", file=sys.stderr)
    for descriptor in (1, 2):
        _let_go(descriptor)
    return code


def stdout_is_closed() -> bool:
    """Whether nobody can read what is printed: standard output was closed at the start."""
    return 1 in _closed


def open_closed_streams() -> None:
    """Open the null device in place of each standard stream that is closed."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            _closed.add(descriptor)
            # The lowest free descriptor, and the ones below are open by now.
            os.open(os.devnull, os.O_RDONLY if mode == "r" else os.O_WRONLY)
            setattr(sys, name, open(descriptor, mode, closefd=False))  # noqa: SIM115


def _let_go(descriptor: int) -> None:
    """Flush a stream, or send what cannot be written nowhere: Python would complain at its end."""
    stream = sys.stdout if descriptor == 1 else sys.stderr
    try:
        stream.flush()
    except OSError:
        with contextlib.suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, descriptor)
            os.close(null)
