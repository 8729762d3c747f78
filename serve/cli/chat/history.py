"""The lines that were typed in earlier chats: in a file only where the user asked for one.

They are prompts, and may be what nobody else shall read: without ``--history`` nothing of a chat is
written to the disk. The file is one JSON string a line, readable by its owner alone (mode 0600).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from models import durable, plain_file
from serve.errors import StartupError

FILE = "chat-history"
MAX_LINES = 1000
MAX_FILE_BYTES = 16 << 20


class History:
    """The lines of a file, oldest first.

    Raises:
        StartupError: the file cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(
                self.path,
                os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW,
                0o600,
            )
            os.fchmod(self._descriptor, 0o600)
            self.lines = _parsed(plain_file.read(self.path, MAX_FILE_BYTES))
            if len(self.lines) > 2 * MAX_LINES:
                self._shorten()
        except OSError as error:
            raise StartupError(
                f"--history: {self.path} cannot be used: {error.strerror}. Remove it, or leave "
                "--history out."
            ) from None

    def append(self, line: str) -> None:
        """Keep one more, at once; a disk that is full is no reason to end a chat."""
        try:
            os.write(self._descriptor, _written(line))
        except OSError:
            return
        self.lines.append(line)

    def _shorten(self) -> None:
        """Leave the last lines; others that are open at the time may lose one that they add."""
        self.lines = self.lines[-MAX_LINES:]
        data = b"".join(_written(line) for line in self.lines)
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, data)
        durable.sync(self._descriptor)


def _written(line: str) -> bytes:
    return json.dumps(line).encode("ascii") + b"\n"


def _parsed(data: bytes) -> list[str]:
    lines = []
    for row in data.splitlines():
        try:
            line = json.loads(row)
        except ValueError:
            continue  # half of a row, which a kill left
        if isinstance(line, str):
            lines.append(line)
    return lines
