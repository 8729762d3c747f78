"""The text that a command is to look at, of a file or of stdin."""

from __future__ import annotations

import sys
from pathlib import Path

from models import plain_file
from serve.errors import StartupError

MAX_BYTES = 64 << 20


def read_text(name: str) -> str:
    """The text of a file, or of stdin where the name is ``-``.

    Raises:
        StartupError: it cannot be read, is too long, or is not UTF-8.
    """
    try:
        if name != "-":
            return plain_file.read_text(Path(name), MAX_BYTES, may_be_link=True, may_be_pipe=True)
        raw = sys.stdin.buffer.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise StartupError(f"stdin has more than {MAX_BYTES} bytes: give a part of it.")
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StartupError(f"stdin is not UTF-8, from byte {error.start} on.") from None
    except OSError as error:
        raise StartupError(f"{name} cannot be read: {error.strerror or error}") from None
