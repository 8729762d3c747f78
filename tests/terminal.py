"""Terminals for tests: a stream that says that it is one, what its rows hold, and a real one."""

from __future__ import annotations

import codecs
import errno
import fcntl
import io
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.server import REPOSITORY, environment

PATIENCE_S = 30
_SEQUENCE = re.compile(r"\x1b\[([?>=]?[0-9;]*)([A-Za-z])|\x1b[()=>][0-9A-B]?")


class Terminal(io.StringIO):
    """A stream that says that it is one."""

    def isatty(self) -> bool:
        return True


def rows_of(written: str) -> list[str]:
    """What stands in each row once a terminal has obeyed what was written; without colours.

    The screen has no end: rows never scroll away, and are as wide as their text.
    """
    rows, row, column, position = [""], 0, 0, 0
    while position < len(written):
        if match := _SEQUENCE.match(written, position):
            position = match.end()
            count = int(match[1] or 1) if (match[1] or "").isdigit() or not match[1] else 1
            if match[2] == "A":
                row = max(0, row - count)
            elif match[2] == "K":
                rows[row] = "" if match[1] == "2" else rows[row][:column]
            elif match[2] == "J":
                rows[row:] = [rows[row][:column]]
            elif match[2] in {"C", "D"}:
                column = max(0, column + (count if match[2] == "C" else -count))
            continue
        match written[position]:
            case "\r":
                column = 0
            case "\b":
                column = max(0, column - 1)
            case "\x07":
                pass
            case "\n":
                row, column = row + 1, 0
                rows += [""] * (row + 1 - len(rows))
            case char:
                rows[row] = rows[row][:column].ljust(column) + char + rows[row][column + 1 :]
                column += 1
        position += 1
    return [text.rstrip() for text in rows]


class Pty:
    """A process of ours on a pseudo-terminal."""

    def __init__(self, process: subprocess.Popen[bytes], descriptor: int) -> None:
        self.process, self._descriptor = process, descriptor
        self.written = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._seen = 0

    @property
    def rows(self) -> list[str]:
        """The rows that hold anything."""
        return [row for row in rows_of(self.written) if row]

    def type(self, text: str) -> None:
        """Press keys: ``\\r`` is Enter, ``\\x03`` Ctrl-C, ``\\x04`` Ctrl-D, ``\\t`` Tab."""
        os.write(self._descriptor, text.encode())

    def wait_for(self, text: str) -> None:
        """Read until a text was written since the last wait."""
        begin, deadline = self._seen, time.monotonic() + PATIENCE_S
        while text not in self.written[begin:]:
            if not self._read(deadline):
                raise AssertionError(f"no {text!r} in {self.written[begin:]!r}")
        self._seen = self.written.index(text, begin) + len(text)

    def hang_up(self) -> None:
        """Close the terminal, as a window is closed."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def wait(self) -> int:
        """Read to the end, and the exit code."""
        deadline = time.monotonic() + PATIENCE_S
        while self._read(deadline):
            pass
        return self.process.wait(PATIENCE_S)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._descriptor], [], [], max(0, deadline - time.monotonic()))
        try:
            data = os.read(self._descriptor, 65536) if ready else b""
        except OSError as error:  # how a pseudo-terminal says that its last process is gone
            if error.errno != errno.EIO:
                raise
            data = b""
        self.written += self._decoder.decode(data)
        return bool(data)


@contextmanager
def on_terminal(*arguments: str, columns: int = 80, rows: int = 24, **extra: str) -> Iterator[Pty]:
    """`python ARGUMENTS` as the foreground job of a terminal of its own; ended in any case."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    variables: Mapping[str, str] = {"TERM": "xterm-256color", "PYTHONUNBUFFERED": "1"} | extra
    unset = {name: value for name, value in environment().items() if name != "NO_COLOR"}
    # The leader of a session that opens a terminal gets it as its own, and Ctrl-C from it.
    process = subprocess.Popen(
        ["sh", "-c", 'exec "$@" <"$TTY" >"$TTY" 2>&1', "sh", sys.executable, *arguments],
        cwd=REPOSITORY,
        env=unset | dict(variables) | {"TTY": os.ttyname(theirs)},
        start_new_session=True,
        # A job in the background of a script ignores SIGINT, and so would all that it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    terminal = Pty(process, ours)
    try:
        while not _is_open(process, theirs):  # until it has the terminal, ours must not close
            time.sleep(0.005)
        os.close(theirs)
        yield terminal
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(30)
        terminal.hang_up()


def _is_open(process: subprocess.Popen[bytes], terminal: int) -> bool:
    """Whether the process has the terminal as its standard error, or has ended."""
    try:
        link = Path(f"/proc/{process.pid}/fd/2").readlink()
    except OSError:
        return process.poll() is not None
    return str(link) == os.ttyname(terminal)
