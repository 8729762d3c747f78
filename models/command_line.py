"""A command line's surroundings: standard streams that are closed, full or cut short.

A descriptor that is closed at the start would be given to the next file that is opened, a socket or
a model's weights, and what is printed would be written into it. A reader that has enough
(``| head -1``) ends the command quietly; a stream that takes no more is an error in one line. So is
a file or folder that the system does not let a command have, and that no command has words for.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.rules import names

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

BROKEN_PIPE = 141
"""The exit code of a program that SIGPIPE ended, as shells have it (128 + 13)."""

REFUSED = 2
"""The exit code of a command that cannot do what it was asked to do."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})
_TOO_MANY = frozenset({errno.EMFILE, errno.ENFILE})
_closed: set[int] = set()


class Parser(argparse.ArgumentParser):
    """A parser that takes no control characters in paths, and shows none of other words."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register("type", Path, path_of)

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        super()._print_message(names.printable_lines(message), file)


def path_of(text: str) -> Path:
    """A path of the command line, which messages and logs can show on one line.

    Raises:
        argparse.ArgumentTypeError: they could not, or it is empty.
    """
    if not text:
        raise argparse.ArgumentTypeError("the path is empty: name one, or leave the option out")
    if not names.is_one_line(text):
        raise argparse.ArgumentTypeError(
            f"the path {text!r} has a control character in it: rename it, or reach it by a link"
        )
    return Path(text)


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
        if error.filename is None and error.errno in _FULL:
            code = 1
            complain(f"the output cannot be written: {error.strerror}")
        elif error.filename is None and error.errno not in _TOO_MANY:
            raise
        else:
            code = REFUSED
            complain(words_of(error))
    for descriptor in (1, 2):
        _let_go(descriptor)
    return code


def complain(message: str) -> None:
    """Say on stderr why a command ends; where that takes nothing, the exit code has to do."""
    with contextlib.suppress(OSError):
        print(f"error: {names.printable_lines(message)}", file=sys.stderr, flush=True)


def words_of(error: BaseException) -> str:
    """The message of an error; of the system's, the files that it is about and what it says."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    if error.errno in _TOO_MANY:
        return f"{error.strerror}: raise the limit of this process (ulimit -n)"
    files = [file for file in (error.filename, error.filename2) if file is not None]
    return "".join(f"{names.printable(str(file))}: " for file in files) + error.strerror


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
